"""Tiny transcoders with random weights, written by hand in circuit-tracer's layout."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from circuits.models.base import Model

N_FEATURES = 40
KINDS = ("relu", "jumprelu", "topk", "topk-relu", "skip")
HOOKS = {  # read site and write site by the names TransformerLens gives them
    "mlp": ("mlp.hook_in", "mlp.hook_out"),
    "no-gain": ("ln2.hook_normalized", "hook_mlp_out"),
    "residual": ("hook_resid_mid", "hook_mlp_out"),
}
TOP_K = 7


def random_layer(model: Model, kind: str, seed: int) -> dict[str, torch.Tensor]:
    """Gives one layer's tensors under the layout's names."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(model.dtype)

    d = model.width
    tensors = {
        "W_enc": random(N_FEATURES, d) / d**0.5,
        "W_dec": random(N_FEATURES, d) / d**0.5,
        "b_enc": random(N_FEATURES) / 4,
        "b_dec": random(d) / 4,
    }
    if kind == "jumprelu":
        tensors["activation_function.threshold"] = random(N_FEATURES).abs() / 2
    if kind == "skip":
        tensors["W_skip"] = random(d, d) / (4 * d**0.5)
    return tensors


def config(kind: str, hooks: str = "mlp") -> dict[str, object]:
    """Gives the configuration of a set."""
    read, write = HOOKS[hooks]
    settings: dict[str, object] = {
        "model_kind": "transcoder_set",
        "model_name": "tiny",
        "feature_input_hook": read,
        "feature_output_hook": write,
    }
    if kind.startswith("topk"):
        settings |= {"activation": "topk", "k": TOP_K, "relu": kind == "topk-relu"}
    return settings


def write_transcoders(path: Path, model: Model, kind: str, hooks: str = "mlp") -> Path:
    """Writes a set for `model` and gives its directory."""
    path.mkdir(parents=True)
    for layer in range(model.n_layers):
        save_file(random_layer(model, kind, seed=layer), path / f"layer_{layer}.safetensors")
    (path / "config.yaml").write_text(yaml.safe_dump(config(kind, hooks)))
    return path
