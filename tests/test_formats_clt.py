"""Cross-layer transcoders of circuit-tracer: what its own code gave is what we compute.

The files and numbers come from tests/fixtures/make_circuit_tracer_clt.py. ``saved`` was written by our
`save_clt` and run by circuit-tracer, so what is saved today must be byte for byte what it read.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from coders_on_disk import FIXTURES, D, layout_of, read, reconstruction, small_model
from extraction import PLAIN, prompt_of
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from circuits.dictionaries.activations import JumpReLU, ReLU, TopK
from circuits.dictionaries.coders import CoderSettings, InputNorm
from circuits.dictionaries.formats import circuit_tracer_clt
from circuits.dictionaries.formats.circuit_tracer_clt import save_clt
from circuits.dictionaries.load import describe, load_dictionary
from circuits.dictionaries.rows import DenseRows
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.errors import CircuitsError, Incompatible, InvalidFile, OutputExists, UsageError
from circuits.extraction.extract import extract

ROOT = FIXTURES / "circuit_tracer_clt"
LAYERS = 3
SITES = {
    "relu": ("residual", "mlp_added"),
    "jumprelu": ("residual", "mlp_added"),
    "saved": ("mlp_in", "mlp_out"),
}


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SITES)
def test_activations_and_outputs_are_circuit_tracers(name):
    expected = load_file(ROOT / f"{name}.expected.safetensors")
    coders = load_dictionary(str(ROOT / name), small_model())
    assert layout_of(ROOT / name) is circuit_tracer_clt
    assert (coders.kind, coders.layers, coders.read_site, coders.write_site) == (
        "clt",
        (0, 1, 2),
        *SITES[name],
    )
    activations, total = reconstruction(coders, expected["x"])
    close(activations, expected["activations"])
    close(total, expected["output"])
    assert 0.05 < (activations != 0).float().mean() < 0.8
    told = describe(str(ROOT / name))
    assert (told["kind"], told["layers"], told["features"], told["width"]) == ("clt", LAYERS, 24, D)
    assert told["activation"] == ("relu" if name == "relu" else "jumprelu")
    assert told["fingerprint"] == coders.fingerprint
    assert told["bytes"] == sum(file.stat().st_size for file in (ROOT / name).glob("*.safetensors"))


def test_what_is_saved_is_what_circuit_tracer_read(tmp_path):
    coders = load_dictionary(str(ROOT / "saved"), small_model())
    save_clt(tmp_path / "t", [coders.coder(layer) for layer in coders.layers], coders.settings)
    written = {file.name: file.read_bytes() for file in (tmp_path / "t").iterdir()}
    assert written == {file.name: file.read_bytes() for file in (ROOT / "saved").iterdir()}
    with pytest.raises(OutputExists):
        save_clt(tmp_path / "t", [coders.coder(layer) for layer in coders.layers], coders.settings)
    assert [file.name for file in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("name", ["relu", "jumprelu"])
def test_what_circuit_tracer_saved_is_saved_the_same(tmp_path, name):
    coders = load_dictionary(str(ROOT / name), small_model())
    save_clt(tmp_path / "t", [coders.coder(layer) for layer in coders.layers], coders.settings)
    for file in (ROOT / name).glob("*.safetensors"):
        theirs, ours = load_file(file), load_file(tmp_path / "t" / file.name)
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[key], ours[key]) for key in theirs)
    again = load_dictionary(str(tmp_path / "t"), small_model())
    assert (again.read_site, again.write_site) == SITES[name]


def test_a_decoder_row_is_that_of_its_source_and_target():
    coders = load_dictionary(str(ROOT / "relu"), small_model())
    stored = load_file(ROOT / "relu/W_dec_1.safetensors")["W_dec_1"]
    own, later = coders.write_terms(1, torch.zeros(1, D))
    assert (own.layer, later.layer) == (1, 2)
    assert torch.equal(own.rows.take([7, 3]), stored[[7, 3], 0])
    assert torch.equal(later.rows.take(torch.tensor([7, 3])), stored[[7, 3], 1])


def test_names_of_files_do_not_matter(tmp_path):
    path = copied(tmp_path)
    for number, file in enumerate(sorted(path.glob("*.safetensors"))):
        file.rename(path / f"part-{9 - number}.safetensors")
    assert read(path).fingerprint == read(ROOT / "jumprelu").fingerprint


def test_other_weights_or_hooks_give_another_fingerprint(tmp_path):
    path = copied(tmp_path, feature_input_hook="mlp.hook_in")
    assert read(path).fingerprint != read(ROOT / "jumprelu").fingerprint
    assert read(ROOT / "relu").fingerprint != read(ROOT / "jumprelu").fingerprint


def test_without_settings_the_user_says_where(tmp_path):
    path = copied(tmp_path)
    (path / "config.yaml").unlink()
    coders = load_dictionary(f"{path}?reads=mlp_in&writes=mlp_out", small_model())
    assert (coders.read_site, coders.write_site) == ("mlp_in", "mlp_out")
    told = describe(f"{path}?reads=mlp_in&writes=mlp_out")
    assert (told["reads"], told["writes"]) == ("mlp.hook_in", "mlp.hook_out")
    for wrong in ("", "?layer=1&reads=mlp_in&writes=mlp_out", "?site=block_out"):
        with pytest.raises(UsageError, match=r"\?reads=mlp_in&writes=mlp_added"):
            load_dictionary(f"{path}{wrong}", small_model())
    with pytest.raises(UsageError, match="leave out reads=mlp_in"):
        read(ROOT / "relu", reads="mlp_in")


def test_completeness_closes_and_edges_equal_the_slow_twin():
    model = small_model("gemma2", torch.float64)
    trace = extract(model, load_dictionary(str(ROOT / "jumprelu"), model), prompt_of(model), PLAIN)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    assert graph.nodes["expanded"].sum() > 20
    assert graph.meta["completeness_residual"] <= 1e-12
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    fast = {(t, s): w for s, t, w, _ in graph.edges.iter_rows() if w != 0}
    assert set(fast) <= set(slow)
    gap = np.max([abs(fast.get(edge, 0.0) - w) for edge, w in slow.items()])
    assert gap <= 1e-12 * max(map(abs, slow.values()))


def copied(tmp_path, tensors=None, drop=(), **settings):
    """Gives a copy with other settings, other tensors, and without some files."""
    path = tmp_path / "copied"
    shutil.copytree(ROOT / "jumprelu", path)
    config = yaml.safe_load((path / "config.yaml").read_text()) | settings
    kept = {key: value for key, value in config.items() if value is not None}
    (path / "config.yaml").write_text(yaml.safe_dump(kept))
    for key, tensor in (tensors or {}).items():
        file = path / f"{'W_dec' if 'W_dec' in key else 'W_enc'}_{key[-1]}.safetensors"
        save_file({k: v for k, v in (load_file(file) | {key: tensor}).items() if v is not None}, file)
    for name in drop:
        (path / f"{name}.safetensors").unlink()
    return path


BROKEN = {
    "other kind": ({"model_kind": "transcoder_set"}, Incompatible, "'transcoder_set'.*cross_layer_trans"),
    "unknown settings": ({"pre_scale": 2, "affine": True}, InvalidFile, "affine, pre_scale"),
    "top-k": ({"activation": "topk", "k": 3}, InvalidFile, "activation, k"),
    "unknown hook": ({"feature_input_hook": "hook_q"}, Incompatible, "hook_q"),
    "no hook": ({"feature_output_hook": None}, Incompatible, "None"),
    "a middle layer": ({"drop": ("W_enc_1", "W_dec_1")}, InvalidFile, "3 layers, but lacks W_enc_1, b_enc_1"),
    "the last layer": ({"drop": ("W_enc_2", "W_dec_2")}, InvalidFile, "3 layers, but lacks W_enc_2, b_enc_2"),
    "a decoder": ({"drop": ("W_dec_0",)}, InvalidFile, "lacks W_dec_0"),
    "an encoder": ({"drop": ("W_enc_0",)}, InvalidFile, "lacks W_enc_0"),
    "a threshold": ({"tensors": {"threshold_1": None}}, InvalidFile, "lacks threshold_1"),
    "the first threshold": (
        {"tensors": {"threshold_0": None}},
        InvalidFile,
        "threshold_1, which this layout",
    ),
    "a number too large": (
        {"tensors": {"b_enc_1": None, "b_enc_1000000000001": torch.ones(24)}},
        InvalidFile,
        "speaks of layer 1000000000001",
    ),
    "a skip": ({"tensors": {"W_skip_1": torch.ones(D, D)}}, InvalidFile, "W_skip_1"),
    "by target": ({"tensors": {"W_dec_1": torch.ones(24, 3, D)}}, InvalidFile, r"W_dec_1 F32\[24, 3, 16\]"),
    "integers": ({"tensors": {"b_enc_2": torch.ones(24).int()}}, InvalidFile, "b_enc_2 I32"),
    "unequal layers": ({"tensors": {"W_enc_1": torch.ones(9, D)}}, InvalidFile, r"W_enc_1 F32\[9, 16\]"),
    "NaN": ({"tensors": {"threshold_2": torch.full((24,), torch.nan)}}, InvalidFile, "threshold_2 in .* NaN"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, case):
    changes, error, message = BROKEN[case]
    path = copied(tmp_path, **changes)
    with pytest.raises(error, match=message) as caught:
        load_dictionary(str(path), small_model())
    assert "\n" not in str(caught.value)
    if case != "NaN":
        with pytest.raises(error, match=message):
            describe(path)


def test_nan_in_a_matrix_is_found_when_it_is_read(tmp_path):
    encoder = torch.full((24, D), torch.nan)
    coders = read(
        copied(tmp_path, tensors={"W_enc_1": encoder, "W_dec_0": encoder[:, None].expand(24, 3, D).clone()})
    )
    with pytest.raises(InvalidFile, match=r"W_enc_1 in .*NaN"):
        coders.encode(1, torch.zeros(1, D))
    with pytest.raises(InvalidFile, match=r"W_dec_0 in .*NaN"):
        coders.write_terms(0, torch.zeros(1, D))[2].rows.take([5])


def test_a_truncated_file_is_refused(tmp_path):
    path = copied(tmp_path)
    file = path / "W_dec_1.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InvalidFile, match=r"W_dec_1\.safetensors is no whole"):
        load_dictionary(str(path), small_model())


def test_a_tensor_twice_is_refused(tmp_path):
    path = copied(tmp_path)
    shutil.copy(path / "W_enc_1.safetensors", path / "again.safetensors")
    with pytest.raises(InvalidFile, match=r"_1 twice, in W_enc_1\.safetensors and again"):
        load_dictionary(str(path), small_model())


def test_a_clt_of_another_model_is_refused(tmp_path):
    with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
        load_dictionary(str(ROOT / "relu"), tiny_model("llama"))


def _replaced(**changes):
    return lambda layers: [replace(layers[0], **changes), *layers[1:]]


UNWRITABLE = {
    "top-k": (lambda layers: [replace(c, activation=TopK(4)) for c in layers], "so TopK cannot .* BatchTopK"),
    "mixed": (_replaced(activation=ReLU()), "so JumpReLU, ReLU cannot be said"),
    "a skip": (_replaced(skip=DenseRows(torch.eye(D))), "layer 0 has a skip"),
    "a norm": (_replaced(norm=InputNorm("layer_norm")), "layer 0 has a skip or normalises"),
    "a layer missing": (lambda layers: layers[1:], r"not \[1, 2\]"),
    "no layer": (lambda layers: [], r"not \[\]"),
    "own layer only": (
        lambda layers: [replace(c, decoders=c.decoders[:1]) for c in layers],
        r"layers \[0\]: in",
    ),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_the_layout_cannot_hold_is_not_written(tmp_path, case):
    change, message = UNWRITABLE[case]
    coders = read(ROOT / "saved")
    with pytest.raises(UsageError, match=message) as caught:
        save_clt(tmp_path / "t", change([coders.coder(layer) for layer in coders.layers]), coders.settings)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "sites",
    [("block_out", "mlp_out"), ("mlp_in", "block_out")],
    ids=["reads the stream", "writes the stream"],
)
def test_sites_without_a_name_are_not_written(tmp_path, sites):
    coders = read(ROOT / "saved")
    with pytest.raises(CircuitsError, match=f"reads {sites[0]} and writes {sites[1]} cannot be said"):
        save_clt(tmp_path / "t", [coders.coder(i) for i in coders.layers], CoderSettings("clt", *sites))
    assert not list(tmp_path.iterdir())


def test_thresholds_come_back_as_they_were(tmp_path):
    coders = read(ROOT / "saved")
    layers = [replace(coders.coder(i), activation=JumpReLU(torch.full((24,), i / 10))) for i in range(LAYERS)]
    save_clt(tmp_path / "t", layers)
    again = read(tmp_path / "t")
    assert (again.read_site, again.write_site) == ("mlp_in", "mlp_out")
    assert [float(again.coder(i).activation.threshold[5]) for i in range(LAYERS)] == pytest.approx(
        [0, 0.1, 0.2]
    )
