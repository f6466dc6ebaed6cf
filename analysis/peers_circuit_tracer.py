"""One measurement of `peers_attribution.py`: what circuit-tracer's rows cost. Prints JSON.

Runs in an environment of its own that holds circuit-tracer and nothing of ours::

    python analysis/peers_circuit_tracer.py REQUEST.json

The request names a Hugging Face directory (`model`), a directory of transcoders with our top-k
`activation` (`transcoders`), token ids (`tokens`), the `backend`, the `batch` size, the `layers` whose
rows are computed, how many of each (`rows_per_layer`), how often (`repeats`), and a file for some of the
rows (`save`, with `saved_rows` of them).

Timed is what circuit-tracer's own attribution does for one feature after another once its forward pass
has run: `compute_batch`, and the copy of its rows into the adjacency matrix. Batches are full and of one
layer, as nearly all are when it attributes every feature in order.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from circuit_tracer import ReplacementModel  # type: ignore[import-not-found]
from circuit_tracer.replacement_model.replacement_model_transformerlens import (  # type: ignore[import-not-found]
    TransformerLensReplacementModel,
)
from circuit_tracer.transcoder.activation_functions import TopK  # type: ignore[import-not-found]
from circuit_tracer.transcoder.single_layer_transcoder import (  # type: ignore[import-not-found]
    load_transcoder_set,
)
from transformer_lens import HookedTransformerConfig  # type: ignore[import-not-found]
from transformer_lens.pretrained.weight_conversions import (  # type: ignore[import-not-found]
    convert_llama_weights,
)
from transformers import AutoModelForCausalLM

PACKAGES = ("circuit-tracer", "torch", "transformers", "transformer-lens", "nnsight")
CPU = torch.device("cpu")


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, {0})
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    transcoders = load_transcoders(Path(request["transcoders"]))
    model = BACKENDS[request["backend"]](request["model"], transcoders)
    # circuit-tracer leaves out what happens at the first token; we do not, so neither may it here
    model.zero_positions = slice(0, 0)
    tokens = torch.tensor(request["tokens"])
    context = model.setup_attribution(tokens)
    size = request["batch"]
    model.run_forward_pass(tokens, size, context)
    chosen = sample(context.activation_matrix, request["layers"], request["rows_per_layer"])
    batches = [chosen[i : i + size] for i in range(0, len(chosen), size)]
    attribute(context, batches[:1])
    before = matmul_rate()
    runs = []
    for _ in range(request["repeats"]):
        start = time.perf_counter()
        matrix = attribute(context, batches)
        runs.append(1e3 * (time.perf_counter() - start) / len(chosen))
    rate = statistics.median([before, matmul_rate()])
    save(Path(request["save"]), context, matrix, chosen, request["saved_rows"])
    print(
        json.dumps(
            {
                "backend": request["backend"],
                "batch": size,
                "rows": len(chosen),
                "active": context.activation_matrix._nnz(),
                "ms_per_row": statistics.median(runs),
                "ms_per_row_runs": runs,
                "matmul_gflops": rate,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
            }
        )
    )


def load_transcoders(place: Path) -> Any:
    """Gives a `TranscoderSet` from a directory in circuit-tracer's layout, with the top-k it names."""
    config = yaml.safe_load((place / "config.yaml").read_text())
    paths = {i: str(place / f"layer_{i}.safetensors") for i in range(len(list(place.glob("layer_*"))))}
    found = load_transcoder_set(
        paths,
        scan="none",
        feature_input_hook=config["feature_input_hook"],
        feature_output_hook=config["feature_output_hook"],
        device=CPU,
        dtype=torch.float32,
        lazy_encoder=False,
        lazy_decoder=False,
    )
    for transcoder in found:
        transcoder.activation_function = torch.nn.Sequential(TopK(config["k"]), torch.nn.ReLU())
    return found


def transformerlens(place: str, transcoders: Any) -> Any:
    """Gives the default backend's model; its loader wants a hub name, so config and weights come here."""
    module: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    hf = module.config
    config = HookedTransformerConfig(
        model_name="local",
        original_architecture="LlamaForCausalLM",
        d_model=hf.hidden_size,
        d_head=hf.hidden_size // hf.num_attention_heads,
        n_heads=hf.num_attention_heads,
        n_key_value_heads=hf.num_key_value_heads,
        d_mlp=hf.intermediate_size,
        n_layers=hf.num_hidden_layers,
        n_ctx=512,
        eps=hf.rms_norm_eps,
        d_vocab=hf.vocab_size,
        act_fn=hf.hidden_act,
        normalization_type="RMS",
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_dim=hf.hidden_size // hf.num_attention_heads,
        rotary_base=hf.rope_theta,
        final_rms=True,
        gated_mlp=True,
        device="cpu",
        dtype=torch.float32,
        default_prepend_bos=False,
    )
    model = TransformerLensReplacementModel(config)
    model.load_and_process_state_dict(
        convert_llama_weights(module, config),
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
    )
    model._configure_replacement_model(transcoders)
    return model


def nnsight(place: str, transcoders: Any) -> Any:
    """Gives the nnsight backend's model."""
    return ReplacementModel.from_pretrained_and_transcoders(
        place, transcoders, backend="nnsight", device=CPU, dtype=torch.float32
    )


BACKENDS = {"transformerlens": transformerlens, "nnsight": nnsight}


def sample(active: torch.Tensor, layers: list[int], per_layer: int) -> torch.Tensor:
    """Gives the numbers of active features, the same count from each layer, spread over the positions."""
    at = active.indices()[0]
    chosen = []
    for layer in layers:
        here = torch.nonzero(at == layer)[:, 0]
        spread = torch.linspace(0, len(here) - 1, min(per_layer, len(here))).long()
        chosen.append(here[spread])
    return torch.cat(chosen)


def attribute(context: Any, batches: list[torch.Tensor]) -> torch.Tensor:
    """Gives the adjacency rows of batches of features: what circuit-tracer does for each batch."""
    layers, positions, _ = context.activation_matrix.indices()
    matrix = torch.zeros(sum(map(len, batches)), context._row_size)
    row = 0
    for batch in batches:
        rows = context.compute_batch(
            layers=layers[batch], positions=positions[batch], inject_values=context.encoder_vecs[batch]
        )
        matrix[row : row + len(batch)] = rows.cpu()
        row += len(batch)
    return matrix


def matmul_rate(size: int = 1024, repeats: int = 15) -> float:
    """Gives GFLOP/s of a float32 matmul in this process, the median of some products."""
    a = torch.randn(size, size)
    a @ a
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds) / 1e9


def save(target: Path, context: Any, matrix: torch.Tensor, chosen: torch.Tensor, rows: int) -> None:
    """Writes some rows, which features they belong to, and all active features with their activations."""
    kept = torch.linspace(0, len(chosen) - 1, min(rows, len(chosen))).long()
    np.savez(
        target,
        features=context.activation_matrix.indices().numpy(),
        activation=context.activation_matrix.values().detach().numpy(),
        targets=chosen[kept].numpy(),
        rows=matrix[kept].detach().numpy(),
    )


if __name__ == "__main__":
    main()
