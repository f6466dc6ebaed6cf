"""Makes the material of `scaling.py`: random transcoders for SmolLM2, and traces extracted with them.

Nobody publishes transcoders for this model, and what a row costs does not depend on what features mean,
so encoders are random unit vectors (seeded), the threshold of a token is what its strongest 43 features
(of 2,048; other sizes in proportion) leave out, and decoders are fitted by ridge regression to the MLP's
outputs.

    python analysis/scaling_traces.py OUT --features 2048 --tokens 12 32
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from circuits.dictionaries.activations import TopK
from circuits.dictionaries.coders import CoderLayer
from circuits.dictionaries.formats.circuit_tracer import save_transcoders
from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.rows import DenseRows
from circuits.extraction.extract import Extraction, extract
from circuits.models.base import Model
from circuits.models.forward import apply_norm, forward
from circuits.models.load import load_model
from circuits.prompt import Prompt
from circuits.trace_io import save_trace

ACTIVE = 43  # features per token and layer: 15,480 on 12 tokens and 30 layers
TEXT = Path(__file__).parent.parent / "LICENSE"  # some 2,000 tokens that every checkout has
PROMPT = (
    "Fact: The capital of the state containing Dallas is Austin, and the capital of the state containing"
    " Oakland is Sacramento. In the beginning God created the heaven and the earth. And the earth was"
    " without form, and void; and darkness was upon the face of the deep."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--tokens", type=int, nargs="+", default=[12])
    options = parser.parse_args()
    model = load_model("smollm2")
    place = options.out / f"transcoders-{options.features}"
    if not place.exists():
        make_transcoders(model, place, options.features)
    dictionary = load_dictionary(str(place), model)
    ids = model.encode(PROMPT * (1 + max(options.tokens) // 50))
    for n in options.tokens:
        target = options.out / f"trace-{options.features}-{n}.safetensors"
        if not target.exists():
            tokens = tuple(model.decode(i) for i in ids[:n])
            prompt = Prompt("".join(tokens), tuple(ids[:n]), tokens)
            save_trace(extract(model, dictionary, prompt, Extraction(labels=False)), target)


def make_transcoders(model: Model, place: Path, features: int) -> None:
    """Writes one transcoder a layer in circuit-tracer's layout."""
    torch.manual_seed(0)
    run = forward(model, model.encode(TEXT.read_text())[:1500])
    layers = []
    for number, parts in enumerate(model.anatomy.layers):
        x = apply_norm(parts.mlp_norm, run.mlp_in[number], run.mlp_scale[number])
        layers.append(fit(number, x, run.mlp_out[number], features))
    save_transcoders(place, layers)


def fit(layer: int, x: Tensor, y: Tensor, features: int) -> CoderLayer:
    """Gives random unit encoders and decoders by ridge regression of y on the active features."""
    encoder = torch.nn.functional.normalize(torch.randn(features, x.shape[1]), dim=1)
    z = x @ encoder.T
    k = ACTIVE * features // 2048
    least = z.topk(k, dim=1).values[:, -1:]
    active = torch.relu(z) * (z >= least)
    centre = y.mean(0)
    gram = active.T @ active
    gram += 0.01 * gram.diagonal().mean() * torch.eye(features)
    decoder = torch.linalg.solve(gram, active.T @ (y - centre))
    return CoderLayer(
        layer=layer,
        encoder=DenseRows(encoder),
        encoder_bias=torch.zeros(features),
        decoders=((layer, DenseRows(decoder)),),
        decoder_bias=centre,
        activation=TopK(k, relu=True),
    )


if __name__ == "__main__":
    main()
