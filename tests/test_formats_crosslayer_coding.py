"""CLTs of crosslayer-coding: what its own code gave is what we compute.

The files and numbers come from tests/fixtures/make_crosslayer_coding.py, which runs the library. Only the
normalisation of inputs and targets, which the library does in its store of activations, is by its formula.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, read, reconstruction, small_model
from extraction import PLAIN, prompt_of
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from circuits.dictionaries.formats import crosslayer_coding
from circuits.dictionaries.load import describe, load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.extraction.extract import extract

ROOT = FIXTURES / "crosslayer_coding"
M = 24
WEIGHTS = "clt_checkpoint_latest.safetensors"
CASES = {  # hints, read site, write site, activation, skip
    "jumprelu": ("", "residual", "mlp_out", "jumprelu", False),
    "converted": ("", "mlp_in", "mlp_out", "jumprelu", False),
    "relu_sqrt": ("", "mlp_in", "mlp_out", "relu", False),
    "per_source": ("", "mlp_in_no_gain", "mlp_added", "jumprelu", True),
    "per_target": ("?reads=mlp_in&writes=mlp_added", "mlp_in", "mlp_added", "relu", False),
}


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_activations_and_outputs_are_the_librarys(name):
    hints, reads, writes, activation, skip = CASES[name]
    expected = load_file(ROOT / f"{name}.expected.safetensors")
    coders = load_dictionary(f"{ROOT / name}{hints}", small_model())
    assert layout_of(ROOT / name) is crosslayer_coding
    assert (coders.kind, coders.layers) == ("clt", (0, 1, 2))
    assert (coders.read_site, coders.write_site) == (reads, writes)
    activations, total = reconstruction(coders, expected["x"])
    close(activations, expected["activations"])
    close(total, expected["output"])
    told = describe(f"{ROOT / name}{hints}")
    assert (told["kind"], told["layers"], told["features"], told["width"]) == ("clt", 3, M, D)
    assert (told["activation"], told["skip"]) == (activation, skip)
    assert not told["reads"].startswith("blocks.")  # of every layer
    assert told["fingerprint"] == coders.fingerprint


def test_a_threshold_that_was_never_estimated_keeps_its_feature_off():
    coders = read(ROOT / "jumprelu")
    stored = load_file(ROOT / "jumprelu" / WEIGHTS)["theta_manager.log_threshold"]
    assert stored.isnan().sum() == 3
    threshold = coders.coder(1).activation.threshold
    assert threshold.isfinite().all()
    close(threshold[:3], stored[1, :3].exp())
    on = coders.encode(1, 1e6 * torch.randn(9, D, generator=torch.Generator().manual_seed(0))).activation != 0
    assert not on[:, 3:6].any()
    assert on.any(dim=0).sum() == M - 3


def test_decoders_are_found_by_source_and_target():
    stored = load_file(ROOT / "jumprelu" / WEIGHTS)
    for source in range(3):
        for term in read(ROOT / "jumprelu").write_terms(source, torch.zeros(1, D)):
            weight = stored[f"decoder_module.decoders.{source}->{term.layer}.weight"]
            assert torch.equal(term.rows.take([7, 3]), weight[:, [7, 3]].T)
            assert torch.equal(term.rows.all(), weight.T)


def test_the_bias_of_a_target_is_the_sum_over_its_sources():
    stored = load_file(ROOT / "jumprelu" / WEIGHTS)
    biases = [stored[f"decoder_module.decoders.{source}->2.bias_param"] for source in range(3)]
    close(read(ROOT / "jumprelu").constant(2, torch.zeros(1, D))[0], biases[0] + biases[1] + biases[2])


def test_older_names_without_prefix_or_biases_are_read(tmp_path):
    path = copied(tmp_path)
    stored = load_file(path / WEIGHTS)
    older = {
        key.split(".", 1)[1].replace("theta_manager.", ""): value
        for key, value in stored.items()
        if "bias" not in key
    }
    save_file(older, path / WEIGHTS)
    coders, before = read(path), read(ROOT / "jumprelu")
    assert not coders.coder(2).decoder_bias.any()
    assert not coders.coder(2).encoder_bias.any()
    assert torch.equal(coders.coder(1).encoder.all(), before.coder(1).encoder.all())


def test_a_checkpoint_is_named_where_there_are_several(tmp_path):
    path = copied(tmp_path)
    shutil.copy(path / WEIGHTS, path / "clt_checkpoint_100.safetensors")
    with pytest.raises(InvalidFile, match=r"2 checkpoints .*: give the path of one"):
        load_dictionary(str(path), small_model())
    one = load_dictionary(str(path / "clt_checkpoint_100.safetensors"), small_model())
    assert one.fingerprint == read(ROOT / "jumprelu").fingerprint


def test_settings_may_lie_one_directory_up(tmp_path):
    path = copied(tmp_path)
    (path / "step_10").mkdir()
    (path / WEIGHTS).rename(path / "step_10" / "model.safetensors")
    one = load_dictionary(str(path / "step_10"), small_model())
    assert one.fingerprint == read(ROOT / "jumprelu").fingerprint
    (path / "cfg.json").unlink()
    with pytest.raises(InvalidFile, match=r"no settings beside it: put there the cfg\.json"):
        load_dictionary(str(path / "step_10"), small_model())


def test_without_templates_the_user_says_where():
    with pytest.raises(UsageError, match=r"per_target is .*: add \?reads=mlp_in&writes=mlp_added"):
        load_dictionary(str(ROOT / "per_target"), small_model())
    with pytest.raises(UsageError, match="leave out reads=mlp_in"):
        read(ROOT / "jumprelu", reads="mlp_in")


def test_layernorm_reads_where_transformerlens_has_that_hook():
    assert read(ROOT / "per_source", small_model("gpt2")).read_site == "mlp_in"
    told = {"reads": "mlp_in_no_gain", "writes": "mlp_added"}
    assert read(ROOT / "per_target", small_model("gpt2"), **told).read_site == "mlp_in_no_gain"


@pytest.mark.parametrize("name", ["converted", "per_source"])
def test_completeness_closes_and_edges_equal_the_slow_twin(name):
    model = small_model("llama", torch.float64)
    trace = extract(model, load_dictionary(str(ROOT / name), model), prompt_of(model), PLAIN)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    assert graph.nodes["expanded"].sum() > 20
    assert graph.meta["completeness_residual"] <= 1e-12
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    fast = {(t, s): w for s, t, w, _ in graph.edges.iter_rows() if w != 0}
    assert set(fast) <= set(slow)
    gap = np.max([abs(fast.get(edge, 0.0) - w) for edge, w in slow.items()])
    assert gap <= 1e-12 * max(map(abs, slow.values()))


def copied(tmp_path, name="jumprelu", tensors=None, stats=None, drop=(), **settings):
    """Gives a copy with other settings, tensors or statistics, and without some files."""
    path = tmp_path / "copied"
    shutil.copytree(ROOT / name, path)
    config = json.loads((path / "cfg.json").read_text()) | settings
    (path / "cfg.json").write_text(json.dumps(config))
    if tensors:
        kept = {k: v for k, v in (load_file(path / WEIGHTS) | tensors).items() if v is not None}
        save_file(kept, path / WEIGHTS)
    if stats is not None:
        told = json.loads((path / "norm_stats.json").read_text())
        stats(told)
        (path / "norm_stats.json").write_text(json.dumps(told))
    for file in drop:
        (path / file).unlink()
    return path


ENCODER, DECODER = "encoder_module.encoders.1.weight", "decoder_module.decoders.0->2.weight"
LOG = "theta_manager.log_threshold"
UNKNOWN = {"activation_fn": "swish", "normalization_method": "auto_sqrt_d_model", "decoder_tying": "all"}
MEANS = {"name": "converted"}
BROKEN = {
    "batchtopk": (
        {"activation_fn": "batchtopk"},
        InvalidFile,
        "is a batchtopk CLT, .*: convert it to jumprelu",
    ),
    "topk": ({"activation_fn": "topk"}, InvalidFile, "is a topk CLT"),
    "all offenders": (
        UNKNOWN,
        InvalidFile,
        "activation_fn 'swish'.*normalization_method 'auto_sq.*tying 'all'",
    ),
    "unknown settings": ({"pre_scale": 2, "affine": 1}, InvalidFile, "affine, pre_scale"),
    "offsets": ({"enable_feature_offset": True}, InvalidFile, "enable_feature_offset True"),
    "skips into later layers": ({"skip_connection": True}, Incompatible, "skips into other layers"),
    "old scaling": ({"sqrt_d_model_normalize": True}, InvalidFile, "sqrt_d_model_normalize True"),
    "attention": ({"mlp_input_template": "transformer.h.{}.attn.input"}, Incompatible, "attn"),
    "no number": ({"num_layers": None}, InvalidFile, "None, 24, 16"),
    "fewer layers": ({"num_layers": 2}, InvalidFile, "encoders.2"),
    "more layers": ({"num_layers": 4}, InvalidFile, "lacks decoders.0->3"),
    "fewer features": ({"num_features": 23}, InvalidFile, r"F32\[24\] where \[23\]"),
    "no statistics": ({**MEANS, "drop": ["norm_stats.json"]}, InvalidFile, "no norm_stats.json beside it"),
    "a layer's statistics": ({**MEANS, "stats": lambda s: s.pop("1")}, InvalidFile, "the inputs of layer 1"),
    "a target's statistics": (
        {**MEANS, "stats": lambda s: s["2"]["targets"].update(mean=[0.0] * 15)},
        InvalidFile,
        "the targets of layer 2 as 16 numbers",
    ),
    "NaN statistics": (
        {**MEANS, "stats": lambda s: s["0"]["inputs"].update(std=[float("nan")] * 16)},
        InvalidFile,
        "the inputs of layer 0",
    ),
    "a decoder": ({"tensors": {DECODER: None}}, InvalidFile, "lacks decoders.0->2.weight"),
    "a bias": (
        {"tensors": {DECODER.replace("weight", "bias_param"): None}},
        InvalidFile,
        "lacks dec.*2.bias",
    ),
    "thresholds": ({"tensors": {LOG: None}}, InvalidFile, "lacks log_threshold"),
    "unwanted thresholds": ({"activation_fn": "relu"}, InvalidFile, "log_threshold, which this layout"),
    "all thresholds NaN": (
        {"tensors": {LOG: torch.full((3, M), torch.nan)}},
        InvalidFile,
        r"NaN for every feature of layers \[0, 1, 2\]",
    ),
    "an unknown tensor": ({"tensors": {"decoder_module.gate": torch.ones(2)}}, InvalidFile, "gate"),
    "transposed": ({"tensors": {ENCODER: torch.ones(D, M)}}, InvalidFile, r"F32\[16, 24\] where \[24, 16\]"),
    "NaN": (
        {"tensors": {"encoder_module.encoders.1.bias_param": torch.full((M,), torch.nan)}},
        InvalidFile,
        "encoders.1.bias_param in .* NaN",
    ),
}
SEEN_WHEN_LOADED = ("statistics", "NaN")


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, case):
    changes, error, message = BROKEN[case]
    path = copied(tmp_path, **changes)
    with pytest.raises(error, match=message) as caught:
        load_dictionary(str(path), small_model())
    assert "\n" not in str(caught.value)
    if case == "no statistics" or not any(word in case for word in SEEN_WHEN_LOADED):
        with pytest.raises(error, match=message):
            describe(path)


def test_nan_in_a_matrix_is_found_when_it_is_read(tmp_path):
    bad = {ENCODER: torch.full((M, D), torch.nan), DECODER: torch.full((D, M), torch.nan)}
    coders = read(copied(tmp_path, tensors=bad))
    with pytest.raises(InvalidFile, match=r"encoders\.1\.weight in .*NaN"):
        coders.encode(1, torch.zeros(1, D))
    with pytest.raises(InvalidFile, match=r"decoders\.0->2\.weight in .*NaN"):
        coders.write_terms(0, torch.zeros(1, D))[2].rows.take([5])


def test_a_truncated_file_is_refused(tmp_path):
    file = copied(tmp_path) / WEIGHTS
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InvalidFile, match="is no whole"):
        load_dictionary(str(file.parent), small_model())


def test_a_clt_of_another_model_is_refused():
    with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
        load_dictionary(str(ROOT / "jumprelu"), tiny_model("llama"))
