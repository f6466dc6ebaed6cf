"""sae-lens, all versions: what its own code computed (tests/fixtures/make_sae_lens.py) is what we compute."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, outputs, read, small_model
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from circuits.dictionaries.formats import sae_lens, sae_lens_flat
from circuits.dictionaries.load import describe, load_dictionary
from circuits.errors import Incompatible, InvalidFile, UsageError

SIX = sorted(path.name for path in (FIXTURES / "sae_lens").iterdir())
FLAT = sorted(path.name for path in (FIXTURES / "sae_lens_flat").iterdir())
PLACES = {  # layer, read site, write site
    "norm_rescale": (1, "mlp_added", "mlp_added"),
    "average_in": (1, "block_out", "block_out"),  # the stream before block 2
    "transcoder": (1, "mlp_in_no_gain", "mlp_added"),
    "skip_transcoder": (1, "mlp_in", "mlp_out"),
    "jumprelu_transcoder": (1, "residual", "mlp_added"),
    "jumprelu_skip_transcoder": (1, "mlp_in", "mlp_added"),  # by the name of Hugging Face's module
}


def fixture(name):
    path = FIXTURES / ("sae_lens" if name in SIX else "sae_lens_flat") / name
    return path, load_file(path / "expected.safetensors")


@pytest.mark.parametrize("name", SIX + FLAT)
def test_activations_and_outputs_are_the_librarys(name):
    path, expected = fixture(name)
    coders = read(path)
    (layer,) = coders.layers
    encoding, out = outputs(coders, layer, expected["x"])
    torch.testing.assert_close(encoding.activation, expected["activations"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[layer], expected["output"], rtol=1e-5, atol=1e-5)
    assert list(out) == [layer]


@pytest.mark.parametrize("name", SIX + FLAT)
def test_read_terms_sum_to_the_pre_activations(name):
    path, expected = fixture(name)
    coders = read(path)
    (layer,) = coders.layers
    x = expected["x"]
    (term,) = coders.read_terms(layer, x)
    scale = 1 if term.coefficient is None else term.coefficient
    z = scale * (x @ term.rows.all().T) + term.bias
    torch.testing.assert_close(z, coders.encode(layer, x).pre_activation, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SIX + FLAT)
def test_layout_and_place_are_told(name):
    path, _ = fixture(name)
    assert layout_of(path) is (sae_lens if name in SIX else sae_lens_flat)
    coders = read(path)
    place = (coders.layers[0], coders.read_site, coders.write_site)
    assert place == PLACES.get(name, (1, "block_out", "block_out"))
    told = describe(path)
    assert (told["features"], told["width"], told["kind"]) == (24, D, coders.kind)
    assert told["kind"] == ("transcoder" if "transcoder" in name else "sae")
    assert told["skip"] == ("skip" in name)
    assert told["fingerprint"] == coders.fingerprint
    json.dumps(told)


def test_a_layer_norms_hook_lies_after_its_gain_unless_it_was_folded(tmp_path):
    path, _ = fixture("transcoder")
    assert read(path, small_model("gpt2")).read_site == "mlp_in"
    folded = edited(tmp_path, "transcoder", metadata={"model_from_pretrained_kwargs": {"fold_ln": True}})
    assert read(folded, small_model("gpt2")).read_site == "mlp_in_no_gain"


def test_centred_writing_weights_centre_what_is_read_where_transformer_lens_does():
    path, expected = fixture("v5_gated")
    x = expected["x"] + torch.linspace(-2, 3, len(expected["x"]))[:, None]  # the mean it never saw
    centred = read(path, small_model("gpt2")).encode(1, x).activation
    torch.testing.assert_close(centred, expected["activations"], rtol=1e-5, atol=1e-5)
    as_is = read(path, small_model("gemma2")).encode(1, x).activation
    assert not torch.allclose(as_is, expected["activations"], atol=1e-2)


def test_top_k_clips_what_is_negative_and_by_magnitude_keeps_it(tmp_path):
    _, expected = fixture("abstopk")
    assert (expected["activations"] < 0).any()
    path = edited(tmp_path, "topk")
    tensors = load_file(path / "sae_weights.safetensors")
    tensors["b_enc"] -= 2.5  # now fewer than k are positive
    save_file(tensors, path / "sae_weights.safetensors")
    x = fixture("topk")[1]["x"]
    z = (x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    kept = torch.zeros_like(z).scatter(1, z.topk(5).indices, z.topk(5).values.relu())
    assert ((kept != 0).sum(dim=1) < 5).any()
    torch.testing.assert_close(read(path).encode(1, x).activation, kept, rtol=1e-5, atol=1e-5)


def test_a_gated_sae_is_on_where_both_of_its_paths_are():
    path, expected = fixture("gated")
    weights = load_file(path / "sae_weights.safetensors")
    x = expected["x"] - weights["b_dec"]
    gate = x @ weights["W_enc"] + weights["b_gate"] > 0
    magnitude = x @ (weights["W_enc"] * weights["r_mag"].exp()) + weights["b_mag"]
    assert (gate & (magnitude < 0)).any()
    assert (~gate & (magnitude > 0)).any()
    encoding = read(path).encode(1, expected["x"])
    assert torch.equal(encoding.activation != 0, gate & (magnitude > 0))


def test_a_training_checkpoints_logarithmic_thresholds_are_exponentiated(tmp_path):
    path = edited(tmp_path, "jumprelu")
    tensors = load_file(path / "sae_weights.safetensors")
    threshold = tensors.pop("threshold").abs() + 0.1
    save_file(tensors | {"log_threshold": threshold.log()}, path / "sae_weights.safetensors")
    read_back = read(path).coder(1).activation.threshold
    torch.testing.assert_close(read_back, threshold)


def test_a_directory_of_saes_is_one_dictionary_and_reads_only_the_rows_it_needs(tmp_path):
    shutil.copytree(FIXTURES / "sae_lens" / "topk", tmp_path / "all" / "b")
    edited(tmp_path / "all", "topk", metadata={"hook_name": "blocks.1.hook_resid_pre"})
    coders = load_dictionary(str(tmp_path / "all"), small_model())
    assert coders.layers == (0, 1)
    (term,) = coders.write_terms(0, torch.zeros(1, D))
    stored = load_file(FIXTURES / "sae_lens" / "topk" / "sae_weights.safetensors")
    assert torch.equal(term.rows.take([3, 7]), stored["W_dec"][[3, 7]])
    assert torch.equal(
        coders.read_terms(0, torch.zeros(1, D))[0].rows.take([3, 7]), stored["W_enc"][:, [3, 7]].T
    )


def test_where_the_settings_are_silent_the_user_says_where(tmp_path):
    path = edited(tmp_path, "topk", metadata={"hook_name": None})
    with pytest.raises(UsageError, match=r"\?layer=5&site=block_out"):
        read(path)
    with pytest.raises(UsageError, match="give site"):
        read(path, layer=2, reads="mlp_in", writes="mlp_out")
    coders = read(path, layer=2, site="mlp_added")
    assert (coders.layers, coders.read_site) == ((2,), "mlp_added")
    with pytest.raises(UsageError, match="leave out layer=2"):
        read(fixture("topk")[0], layer=2)


def edited(tmp_path, name, metadata=None, drop=(), **changes):
    """Gives a copy of a fixture with other settings."""
    source, _ = fixture(name)
    path = tmp_path / "edited"
    shutil.copytree(source, path)
    config = json.loads((path / "cfg.json").read_text()) | changes
    if metadata:
        config["metadata"] |= metadata
    (path / "cfg.json").write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))
    return path


BROKEN = {
    "architecture": ("topk", {"architecture": "temporal"}, InvalidFile, "temporal.*jumprelu"),
    "training architecture": ("topk", {"architecture": "batchtopk"}, InvalidFile, "for inference"),
    "normalisation": (
        "standard",
        {"normalize_activations": "covariance_whitening"},
        InvalidFile,
        "whitening",
    ),
    "scalar rescale": (
        "standard",
        {"normalize_activations": "constant_scalar_rescale"},
        InvalidFile,
        "scalar",
    ),
    "normalising transcoder": ("transcoder", {"normalize_activations": "layer_norm"}, InvalidFile, "undoes"),
    "b_dec at a transcoder": ("transcoder", {"apply_b_dec_to_input": True}, InvalidFile, "no transcoder"),
    "unknown setting": ("standard", {"pre_scale": 2}, InvalidFile, "pre_scale"),
    "k": ("topk", {"k": 2.5}, InvalidFile, "k 2.5"),
    "reshape": ("standard", {"reshape_activations": "hook_z"}, Incompatible, "hook_z"),
    "widths": ("transcoder", {"d_out": 32}, InvalidFile, "16 and writes one of 32"),
    "sizes": ("standard", {"d_sae": 25}, InvalidFile, r"W_enc F32\[16, 24\] where \[16, 25\]"),
    "no sizes": ("standard", {"d_sae": "24"}, InvalidFile, "whole numbers"),
    "attention": ("standard", {"metadata": {"hook_name": "blocks.1.attn.hook_z"}}, Incompatible, "hook_z"),
    "first block": (
        "standard",
        {"metadata": {"hook_name": "blocks.0.hook_resid_pre"}},
        Incompatible,
        "any block but the first",
    ),
    "middle of a block": (
        "standard",
        {"metadata": {"hook_name": "blocks.1.hook_resid_mid"}},
        Incompatible,
        "hook_resid_mid.*output of a block",
    ),
    "one head": ("standard", {"metadata": {"hook_head_index": 3}}, Incompatible, "head 3"),
    "two blocks": (
        "transcoder",
        {"metadata": {"hook_name_out": "blocks.2.hook_mlp_out"}},
        Incompatible,
        "another block",
    ),
    "no output hook": ("transcoder", {"metadata": {"hook_name_out": None}}, InvalidFile, "hook_name_out"),
    "model loading": (
        "standard",
        {"metadata": {"model_from_pretrained_kwargs": {"rotate": 1}}},
        InvalidFile,
        "rotate",
    ),
    "flat: tanh": ("v3_topk", {"activation_fn_str": "tanh-relu"}, InvalidFile, "tanh-relu"),
    "flat: postact": (
        "v3_topk",
        {"activation_fn_kwargs": {"k": 5, "postact_fn": "x"}},
        InvalidFile,
        "postact",
    ),
    "flat: scale not used": (
        "v3_scaled",
        {"finetuning_scaling_factor": False},
        InvalidFile,
        "scaling factor",
    ),
    "flat: unknown": ("v3_topk", {"pre_bias_norm": 2}, InvalidFile, "pre_bias_norm"),
    "flat: reshape": ("v3_topk", {"reshape_activations": "hook_z"}, Incompatible, "hook_z"),
    "flat: no truth": ("v3_topk", {"apply_b_dec_to_input": "yes"}, InvalidFile, "'yes'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, case):
    name, changes, error, message = BROKEN[case]
    path = edited(tmp_path, name, **changes)
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def _without(key):
    return lambda tensors: tensors.pop(key)


def _nan(key):
    def change(tensors):
        tensors[key][..., 1] = torch.nan

    return change


BROKEN_TENSORS = {
    "NaN threshold": ("jumprelu", _nan("threshold"), "threshold in .* NaN"),
    "NaN bias": ("topk", _nan("b_enc"), "b_enc in .* NaN"),
    "no threshold": ("jumprelu", _without("threshold"), "lacks threshold"),
    "gated with b_enc": ("gated", lambda t: t.update(b_enc=torch.ones(24)), "b_enc, which"),
    "transposed": ("topk", lambda t: t.update(W_enc=t["W_enc"].T.contiguous()), r"W_enc F32\[24, 16\]"),
    "integers": ("topk", lambda t: t.update(b_dec=t["b_dec"].int()), "b_dec I32"),
}


@pytest.mark.parametrize("case", BROKEN_TENSORS)
def test_tensors_that_cannot_be_trusted_are_refused(tmp_path, case):
    name, change, message = BROKEN_TENSORS[case]
    path = edited(tmp_path, name)
    tensors = load_file(path / "sae_weights.safetensors")
    change(tensors)
    save_file(tensors, path / "sae_weights.safetensors")
    with pytest.raises(InvalidFile, match=message):
        read(path)


@pytest.mark.parametrize("key", ["W_enc", "W_dec"])
def test_nan_in_a_matrix_is_found_when_it_is_read(tmp_path, key):
    path = edited(tmp_path, "standard_b_dec")
    tensors = load_file(path / "sae_weights.safetensors")
    _nan(key)(tensors)
    save_file(tensors, path / "sae_weights.safetensors")
    coders = read(path)
    with pytest.raises(InvalidFile, match=f"{key} in .* NaN"):
        outputs(coders, 1, torch.ones(2, D))


def test_a_truncated_file_is_refused(tmp_path):
    path = edited(tmp_path, "topk")
    file = path / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InvalidFile, match="no whole safetensors"):
        read(path)


def test_an_sae_of_another_width_is_refused():
    with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
        load_dictionary(str(FIXTURES / "sae_lens" / "topk"), tiny_model("llama"))
