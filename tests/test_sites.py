"""Sites: what hooks see is what the rebuilt pass has, and what is put there arrives."""

from __future__ import annotations

import pytest
import torch
from extraction import model_of

from circuits.models.forward import apply_norm, forward, run_mlp
from circuits.models.sites import SITES, capture, replaced

ARCHITECTURES = ("llama", "mistral", "gpt2", "qwen2", "qwen3", "gemma2", "gemma3", "neox", "neox-serial")
IDS = (3, 14, 15, 9, 2, 60)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_hooks_see_what_the_rebuilt_pass_has(name: str) -> None:
    model = model_of(name)
    held = forward(model, IDS)
    for layer, parts in enumerate(model.anatomy.layers):
        seen = capture(model, torch.tensor([IDS, IDS]), [(layer, site) for site in SITES])
        x = apply_norm(parts.mlp_norm, held.mlp_in[layer], held.mlp_scale[layer])
        last = layer + 1 == model.n_layers
        bias = 0 if parts.mlp_norm.bias is None else parts.mlp_norm.bias
        expected = {
            "residual": held.mlp_in[layer],
            "mlp_in": x,
            "mlp_in_no_gain": (x - bias) / parts.mlp_norm.gain,
            "mlp_out": run_mlp(parts.mlp, x),
            "mlp_added": held.mlp_out[layer],
            "block_out": held.final if last else held.attention_in[layer + 1],
        }
        for site, value in expected.items():
            for row in range(2):
                torch.testing.assert_close(
                    seen[layer, site][row], value, rtol=1e-5, atol=1e-5
                )  # norms are float32 in transformers


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
@pytest.mark.parametrize("site", ["residual", "mlp_in", "mlp_out", "mlp_added", "block_out"])
def test_what_is_put_in_place_arrives_and_leaves_again(name: str, site) -> None:
    model = model_of(name)
    ids = torch.tensor([IDS])
    before = model.module(ids).logits
    with replaced(model, {(1, site): torch.zeros_like}):
        assert not torch.allclose(model.module(ids).logits, before)
        if site in ("mlp_out", "mlp_added"):  # the stream then passes by untouched
            seen = capture(model, ids, [(1, "mlp_added"), (1, "block_out")])
            assert not seen[1, "mlp_added"].any()
        if site == "block_out":
            assert not capture(model, ids, [(2, "residual")])[2, "residual"].isnan().any()
    torch.testing.assert_close(model.module(ids).logits, before, rtol=0, atol=0)
    with replaced(model, {(1, site): lambda x: x}):
        torch.testing.assert_close(model.module(ids).logits, before, rtol=0, atol=0)
