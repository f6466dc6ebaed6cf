"""llamascopium and Llama Scope: what the library's own code gave is what we compute.

The files and numbers come from tests/fixtures/make_llamascopium.py, which runs llamascopium 2.0.0b34 and, for
Llama Scope, its ancestor lm-saes 1.1.0.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, outputs, read, reconstruction, small_model
from extraction import PLAIN, prompt_of
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from circuits.dictionaries.formats import llama_scope, llamascopium
from circuits.dictionaries.load import describe, load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.extraction.extract import extract

NEW, OLD = FIXTURES / "llamascopium", FIXTURES / "llama_scope"
M = 24
ACROSS = ("residual", "mlp_added")
CLTS = {"clt_jumprelu": "jumprelu", "clt_topk": "top-5", "clt_relu": "relu"}
STREAM, MLP = ("sae", "block_out", "block_out"), ("transcoder", "mlp_in_no_gain", "mlp_added")
CASES = {  # path, kind and sites, activation
    "relu": (NEW / "relu", STREAM, "relu"),
    "jumprelu inference": (NEW / "jumprelu_inference", STREAM, "jumprelu"),
    "jumprelu transcoder": (NEW / "jumprelu_transcoder", MLP, "jumprelu"),
    "jumprelu without norm": (NEW / "jumprelu_without_norm", STREAM, "jumprelu"),
    "topk": (NEW / "topk", STREAM, "top-5"),
    "topk transcoder": (NEW / "topk_transcoder", MLP, "top-5"),
    "topk without norm": (NEW / "topk_without_norm", MLP, "top-5"),
    "old stream": (OLD / "stream", STREAM, "jumprelu"),
    "old transcoder": (OLD / "transcoder", MLP, "jumprelu"),
    "old topk": (OLD / "topk", STREAM, "top-5"),
    "old relu": (OLD / "relu", STREAM, "relu"),
    "old topk of unit decoders": (OLD / "topk_unit", MLP, "top-5"),
}
WITH_NORM = ("topk", "topk transcoder")
"""Cases whose activations are the library's times the norm of a feature's decoder."""


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def expectation(path):
    return load_file(path.parent / f"{path.name}.expected.safetensors")


@pytest.mark.parametrize("case", CASES)
def test_activations_outputs_and_places_are_the_librarys(case):
    path, (kind, reads, writes), activation = CASES[case]
    expected = expectation(path)
    coders = read(path)
    assert layout_of(path) is (llama_scope if case.startswith("old") else llamascopium)
    assert (coders.kind, coders.layers, coders.read_site, coders.write_site) == (kind, (1,), reads, writes)
    encoding, out = outputs(coders, 1, expected["x"])
    times = load_file(path / "sae_weights.safetensors")["W_D"].norm(dim=1) if case in WITH_NORM else 1
    close(encoding.activation, expected["activations"] * times)
    close(out[1], expected["output"])
    assert 0.05 < (expected["activations"] != 0).float().mean() < 0.8
    told = describe(str(path))
    assert (told["kind"], told["layers"], told["features"], told["width"]) == (kind, 1, M, D)
    assert (told["activation"], told["fingerprint"]) == (activation, coders.fingerprint)


@pytest.mark.parametrize("name", CLTS)
def test_a_clts_decoders_are_grouped_by_target(name):
    expected = expectation(NEW / name)
    coders = load_dictionary(str(NEW / name), small_model())
    assert (coders.kind, coders.layers, coders.read_site, coders.write_site) == ("clt", (0, 1, 2), *ACROSS)
    stored = load_file(NEW / name / "sae_weights.safetensors")
    times = torch.ones(3, 1, M)
    if name == "clt_topk":
        squares = [
            sum(stored[f"W_D.{into}"][layer].square().sum(1) for into in range(layer, 3))
            for layer in range(3)
        ]
        times = torch.stack(squares).sqrt()[:, None]
    activations, total = reconstruction(coders, expected["x"])
    close(activations, expected["activations"] * times)
    close(total, expected["output"])
    told = describe(str(NEW / name))
    assert (told["kind"], told["layers"], told["features"], told["width"]) == ("clt", 3, M, D)
    assert (told["activation"], told["fingerprint"]) == (CLTS[name], coders.fingerprint)


def test_a_decoder_row_is_that_of_its_source_and_target():
    coders = read(NEW / "clt_relu")
    stored = load_file(NEW / "clt_relu/sae_weights.safetensors")
    for source in range(3):
        for term in coders.write_terms(source, torch.zeros(1, D)):
            assert torch.equal(term.rows.take([7, 3]), stored[f"W_D.{term.layer}"][source, [7, 3]])
            assert torch.equal(term.rows.all(), stored[f"W_D.{term.layer}"][source])
        rows = coders.coder(source).encoder
        assert torch.equal(rows.take(torch.tensor([20, 2, 3])), stored["W_E"][source][:, [20, 2, 3]].T)
        assert torch.equal(rows.all(), stored["W_E"][source].T)


def test_layernorm_reads_where_transformerlens_has_that_hook():
    assert read(NEW / "topk_transcoder", small_model("gpt2")).read_site == "mlp_in"
    assert read(OLD / "transcoder", small_model("gpt2")).read_site == "mlp_in"


@pytest.mark.parametrize("path", [NEW / "relu", OLD / "stream"], ids=["new", "old"])
def test_a_file_is_read_as_its_directory_is(path):
    (file,) = path.rglob("*.safetensors")
    assert read(file).fingerprint == read(path).fingerprint
    with pytest.raises(UsageError, match="leave out layer=1"):
        read(path, layer=1)


@pytest.mark.parametrize("path", [NEW / "relu", OLD / "stream"], ids=["new", "old"])
def test_a_checkpoint_is_named_where_there_are_several(tmp_path, path):
    path = copied(tmp_path, path)
    (file,) = path.rglob("*.safetensors")
    shutil.copy(file, file.parent / "again.safetensors")
    with pytest.raises(InvalidFile, match=r"2 checkpoints .*: give the path of one"):
        read(path)
    assert read(file.parent / "again.safetensors").n_features == M


@pytest.mark.parametrize("name", ["clt_jumprelu", "clt_topk"])
def test_completeness_closes_and_edges_equal_the_slow_twin(name):
    model = small_model("gemma2", torch.float64)
    trace = extract(model, load_dictionary(str(NEW / name), model), prompt_of(model), PLAIN)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    assert graph.nodes["expanded"].sum() > 20
    assert graph.meta["completeness_residual"] <= 1e-12
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    fast = {(t, s): w for s, t, w, _ in graph.edges.iter_rows() if w != 0}
    assert set(fast) <= set(slow)
    gap = np.max([abs(fast.get(edge, 0.0) - w) for edge, w in slow.items()])
    assert gap <= 1e-12 * max(map(abs, slow.values()))


def copied(tmp_path, source, tensors=None, drop=(), **settings):
    """Gives a copy with other settings and tensors."""
    path = tmp_path / "copied"
    shutil.copytree(source, path)
    (file,) = path.glob("*.json")
    config = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({key: value for key, value in config.items() if key not in drop}))
    if tensors:
        (weights,) = path.rglob("*.safetensors")
        kept = {k: v for k, v in (load_file(weights) | tensors).items() if v is not None}
        save_file(kept, weights)
    return path


TRANSCODER, CLT = {"source": NEW / "jumprelu_transcoder"}, {"source": NEW / "clt_jumprelu"}
LOG = "activation_function.log_jumprelu_threshold"
AVERAGE = "dataset_average_activation_norm.blocks.1.hook_mlp_out"
BATCH = {"norm_activation": "batch-wise", "act_fn": "batchtopk", "use_glu_encoder": True}
BROKEN = {
    "all offenders": (
        BATCH,
        InvalidFile,
        "act_fn 'batchtopk'.*'batch-wise'.*use_glu_encoder True.*on the batch",
    ),
    "layertopk": ({**CLT, "act_fn": "layertopk"}, InvalidFile, "act_fn 'layertopk'.*other layers"),
    "swish": ({"act_fn": "swish"}, InvalidFile, "act_fn 'swish'.*relu, jumprelu, topk"),
    "no k": ({"act_fn": "topk", "top_k": None}, InvalidFile, "top_k None"),
    "unknown settings": ({"pre_scale": 2, "affine": 1}, InvalidFile, "affine, pre_scale"),
    "another kind": ({"sae_type": "crosscoder"}, Incompatible, "kind 'crosscoder': .* sae and clt"),
    "no size": ({"expansion_factor": None}, InvalidFile, "expansion_factor None"),
    "no hook": ({"drop": ["hook_point_out"]}, InvalidFile, "at which hooks it reads and writes"),
    "attention": ({**TRANSCODER, "hook_point_in": "blocks.1.hook_attn_out"}, Incompatible, "hook_attn_out"),
    "two blocks": ({**TRANSCODER, "hook_point_out": "blocks.2.hook_mlp_out"}, Incompatible, "another block"),
    "token-wise transcoder": (
        {**TRANSCODER, "norm_activation": "token-wise"},
        InvalidFile,
        "normalises token-w",
    ),
    "token-wise clt": (
        {**CLT, "norm_activation": "token-wise"},
        InvalidFile,
        "is a clt that normalises token-w",
    ),
    "no average": ({**TRANSCODER, "tensors": {AVERAGE: None}}, InvalidFile, "lacks dataset_average"),
    "average 0": (
        {**TRANSCODER, "tensors": {AVERAGE: torch.tensor(0.0)}},
        InvalidFile,
        "not above 0: blocks",
    ),
    "no thresholds": ({**CLT, "tensors": {LOG: None}}, InvalidFile, "lacks activation_function.log"),
    "shared thresholds": (
        {**CLT, "tensors": {LOG: torch.ones(M)}},
        InvalidFile,
        r"F32\[24\] where \[3, 24\]",
    ),
    "by source": ({**CLT, "tensors": {"W_D.0": torch.ones(3, M, D)}}, InvalidFile, r"W_D.0 F32\[3, 24, 16\]"),
    "a missing layer": (
        {**CLT, "tensors": {"W_D.2": None, "b_D.2": None}},
        InvalidFile,
        "lacks W_D.2, b_D.2",
    ),
    "a hook less": (
        {**CLT, "hook_points_in": ["blocks.0.hook_resid_mid"] * 2},
        InvalidFile,
        "at which hooks it reads",
    ),
    "a layer twice": (
        {
            **CLT,
            "hook_points_in": ["blocks.0.hook_resid_mid"] * 3,
            "hook_points_out": ["blocks.0.hook_mlp_out"] * 3,
        },
        Incompatible,
        r"do not ascend: \[0, 0, 0\]",
    ),
    "no bias": ({"tensors": {"b_D": None}}, InvalidFile, "lacks b_D"),
    "a bias too many": ({"use_decoder_bias": False}, InvalidFile, "holds b_D"),
    "transposed": ({"tensors": {"W_D": torch.ones(D, M)}}, InvalidFile, r"F32\[16, 24\] where \[24, 16\]"),
    "NaN": ({"tensors": {"b_E": torch.full((M,), torch.nan)}}, InvalidFile, "b_E in .* NaN"),
}
BROKEN_OLD = {
    "all offenders": (BATCH, InvalidFile, "act_fn 'batchtopk'.*'batch-wise'.*use_glu_encoder True"),
    "unknown settings": ({"pre_scale": 2, "affine": 1}, InvalidFile, "affine, pre_scale"),
    "no threshold": ({"jump_relu_threshold": None}, InvalidFile, "jump_relu_threshold None"),
    "no k": ({"act_fn": "topk", "top_k": 0}, InvalidFile, "top_k 0"),
    "no average": (
        {"dataset_average_activation_norm": {"in": 3}},
        InvalidFile,
        "average_activation_norm as {",
    ),
    "average 0": (
        {"dataset_average_activation_norm": {"in": 3, "out": 0}},
        InvalidFile,
        "above 0 for in and out",
    ),
    "no size": ({"d_sae": "many"}, InvalidFile, "d_sae 'many'"),
    "attention": ({"hook_point_out": "blocks.1.hook_attn_out"}, Incompatible, "hook_attn_out"),
    "token-wise transcoder": (
        {"source": OLD / "transcoder", "norm_activation": "token-wise"},
        InvalidFile,
        "normalises token-wise",
    ),
    "no bias": ({"tensors": {"decoder.bias": None}}, InvalidFile, "lacks decoder.bias"),
    "unknown tensor": ({"tensors": {"encoder_glu.bias": torch.ones(M)}}, InvalidFile, "encoder_glu.bias"),
    "NaN": (
        {"tensors": {"encoder.bias": torch.full((M,), torch.nan)}},
        InvalidFile,
        "encoder.bias in .* NaN",
    ),
}
ALL = {
    **{f"new {case}": (NEW / "relu", told) for case, told in BROKEN.items()},
    **{f"old {case}": (OLD / "stream", told) for case, told in BROKEN_OLD.items()},
}


@pytest.mark.parametrize("case", ALL)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, case):
    source, (changes, error, message) = ALL[case]
    path = copied(tmp_path, **{"source": source, **changes})
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    if "NaN" not in case and case != "new average 0":
        with pytest.raises(error, match=message):
            describe(path)


@pytest.mark.parametrize("path", [NEW / "clt_relu", OLD / "stream"], ids=["new", "old"])
def test_a_truncated_file_and_missing_settings_are_refused(tmp_path, path):
    path = copied(tmp_path, path)
    (file,) = path.rglob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-50])
    with pytest.raises(InvalidFile, match="is no whole"):
        load_dictionary(str(path), small_model())
    file.write_bytes(whole)
    (settings,) = path.glob("*.json")
    settings.unlink()
    with pytest.raises(InvalidFile, match=r"no settings beside it|no layout known"):
        load_dictionary(str(path), small_model())


def test_nan_in_a_matrix_is_found_when_it_is_read(tmp_path):
    bad = {"W_E": torch.full((3, D, M), torch.nan), "W_D.2": torch.full((3, M, D), torch.nan)}
    coders = read(copied(tmp_path, NEW / "clt_relu", tensors=bad))
    with pytest.raises(InvalidFile, match=r"W_E in .*NaN"):
        coders.encode(1, torch.zeros(1, D))
    with pytest.raises(InvalidFile, match=r"W_D\.2 in .*NaN"):
        coders.write_terms(0, torch.zeros(1, D))[2].rows.take([5])


def test_coders_of_another_model_are_refused():
    for path in (NEW / "relu", NEW / "clt_relu", OLD / "stream"):
        with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
            load_dictionary(str(path), tiny_model("llama"))
