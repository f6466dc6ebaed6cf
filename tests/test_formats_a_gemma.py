"""Gemma Scope 1 and 2: what peers' loaders gave (tests/fixtures/make_gemma_scope.py) is what we compute."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, outputs, read, small_model
from safetensors.torch import load_file, save_file

from circuits.dictionaries.formats import gemma_scope, gemma_scope_2
from circuits.dictionaries.load import describe, load_dictionary
from circuits.errors import Incompatible, InvalidFile, UsageError

ROOT = FIXTURES / "gemma_scope"
ONE = ROOT / "layer_1/width_16k/average_l0_9"
CLT = ROOT / "clt_affine"
RESIDUAL = ROOT / "resid_post/layer_1_width_16k_l0_small"
AFFINE = ROOT / "transcoder/layer_1_width_16k_l0_small_affine"
STREAM = {"layer": 1, "site": "block_out"}
MLP = {"reads": "mlp_in_no_gain", "writes": "mlp_added"}
CASES = {  # path, hints, kind, read site, write site
    "1 stream": (ONE / "params.npz", STREAM, "sae", "block_out", "block_out"),
    "1 transcoder": (
        ROOT / "transcoder_layer_1/width_16k/average_l0_9/params.npz",
        {"layer": 1, **MLP},
        "transcoder",
        "mlp_in_no_gain",
        "mlp_added",
    ),
    "2 stream": (RESIDUAL, {}, "sae", "block_out", "block_out"),
    "2 mlp": (ROOT / "mlp_out/layer_1_width_16k_l0_small", {}, "sae", "mlp_added", "mlp_added"),
    "2 transcoder": (
        ROOT / "transcoder/layer_1_width_16k_l0_small",
        {},
        "transcoder",
        "mlp_in",
        "mlp_added",
    ),
    "2 skip": (AFFINE, {}, "transcoder", "mlp_in", "mlp_added"),
}


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_activations_outputs_and_places_are_the_peers(case):
    path, hints, kind, reads, writes = CASES[case]
    expected = load_file((path.parent if path.is_file() else path) / "expected.safetensors")
    coders = read(path, **hints)
    assert layout_of(path) is (gemma_scope if case[0] == "1" else gemma_scope_2)
    assert (coders.kind, coders.layers, coders.read_site, coders.write_site) == (kind, (1,), reads, writes)
    encoding, out = outputs(coders, 1, expected["x"])
    close(encoding.activation, expected["activations"])
    close(out[1], expected["output"])
    query = "&".join(f"{key}={value}" for key, value in hints.items())
    told = describe(f"{path}?{query}")
    assert (told["features"], told["width"], told["kind"]) == (24, D, kind)
    assert (told["fingerprint"], told["skip"]) == (coders.fingerprint, case == "2 skip")


def test_a_clts_outputs_sum_over_its_source_layers_and_biases_count_once():
    expected = load_file(CLT / "expected.safetensors")
    coders = load_dictionary(f"{CLT}?reads=mlp_in&writes=mlp_added", small_model())
    assert (coders.kind, coders.layers) == ("clt", (0, 1, 2))
    total = [torch.zeros(6, D) for _ in coders.layers]
    for layer in coders.layers:
        encoding, out = outputs(coders, layer, expected["x"][layer])
        close(encoding.activation, expected["activations"][layer])
        assert list(out) == list(range(layer, 3))
        for into, written in out.items():
            total[into] = total[into] + written
    close(torch.stack(total), expected["output"])
    (*_, last) = coders.write_terms(0, expected["x"][0])
    stored = load_file(CLT / "params_layer_0.safetensors")["w_dec"]
    assert torch.equal(last.rows.take([5, 2]), stored[[5, 2], 2])


def test_a_clt_needs_to_be_told_its_sites_and_no_layer():
    for wrong in ("", "?layer=1&reads=mlp_in&writes=mlp_added", "?site=block_out"):
        with pytest.raises(UsageError, match=r"\?reads=mlp_in&writes=mlp_added"):
            load_dictionary(f"{CLT}{wrong}", small_model())


def test_an_archive_without_a_place_is_asked_for_it():
    for wrong in ({}, {"layer": 1}, {"site": "block_out"}, {"layer": 1, "reads": "mlp_in"}):
        with pytest.raises(UsageError, match=r"\?layer=5&site=block_out"):
            read(ONE / "params.npz", **wrong)
    with pytest.raises(UsageError, match="cannot write at 'mlp_in'"):
        read(ONE / "params.npz", layer=1, reads="mlp_in", writes="mlp_in")
    with pytest.raises(UsageError, match="leave out layer=1"):
        read(RESIDUAL, layer=1)


@pytest.mark.parametrize("how", ["stored", "compressed", "fortran", "half"])
def test_rows_of_an_archive_are_the_same_however_it_is_stored(tmp_path, how):
    arrays = dict(np.load(ONE / "params.npz"))
    if how == "fortran":
        arrays = {key: np.asfortranarray(value) for key, value in arrays.items()}
    if how == "half":
        arrays = {key: value.astype(np.float16) for key, value in arrays.items()}
    (np.savez_compressed if how == "compressed" else np.savez)(tmp_path / "a.npz", **arrays)
    coders = read(tmp_path / "a.npz", **STREAM)
    tolerance = 1e-2 if how == "half" else 0
    for rows, matrix in (
        (coders.coder(1).encoder, arrays["W_enc"].T),
        (coders.coder(1).decoders[0][1], arrays["W_dec"]),
    ):
        np.testing.assert_allclose(rows.take([4, 1]).numpy(), matrix[[4, 1]], atol=tolerance)
        np.testing.assert_allclose(rows.all().numpy(), matrix, atol=tolerance)


def test_an_uncompressed_archive_is_mapped_not_read():
    assert isinstance(gemma_scope._array(ONE / "params.npz", "W_dec"), np.memmap)


def archive(tmp_path, **changes):
    arrays = {key: np.array(value) for key, value in np.load(ONE / "params.npz").items()} | changes
    kept = {key: value for key, value in arrays.items() if value is not None}
    np.savez(tmp_path / "params.npz", **kept)
    return tmp_path / "params.npz"


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_pickled_objects_in_an_archive_are_never_opened(tmp_path):
    path = archive(tmp_path, threshold=np.array([Trap()] * 24, dtype=object))
    with pytest.raises(InvalidFile, match="pickled objects, which are never opened"):
        read(path, **STREAM)


BROKEN = {
    "a missing array": ({"b_dec": None}, "W_dec, W_enc, b_enc, threshold, but"),
    "an array too many": ({"scaling": np.ones(3)}, "scaling"),
    "transposed": ({"W_enc": np.ones((24, 16), np.float32)}, r"W_enc float32\[24, 16\]"),
    "integers": ({"b_enc": np.ones(24, np.int32)}, "b_enc int32"),
    "NaN thresholds": ({"threshold": np.full(24, np.nan, np.float32)}, "threshold in .* 24 numbers"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_archives_that_cannot_be_trusted_are_refused(tmp_path, case):
    changes, message = BROKEN[case]
    with pytest.raises(InvalidFile, match=message) as caught:
        read(archive(tmp_path, **changes), **STREAM)
    assert "\n" not in str(caught.value)


def test_a_truncated_archive_is_refused(tmp_path):
    path = archive(tmp_path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InvalidFile, match=r"no whole \.npz"):
        read(path, **STREAM)


def test_other_zip_files_are_not_taken_for_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as other:
        other.writestr("archive/data.pkl", b"")
    assert not gemma_scope.recognises(tmp_path / "x.npz")


def copied(tmp_path, source=AFFINE, drop=(), tensors=None, **settings):
    path = tmp_path / "copied"
    shutil.copytree(source, path)
    if (path / "config.json").exists():
        config = json.loads((path / "config.json").read_text()) | settings
        (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))
    if tensors:
        (file,) = path.glob("params*.safetensors")
        kept = {k: v for k, v in (load_file(file) | tensors).items() if v is not None}
        save_file(kept, file)
    return path


BROKEN_2 = {
    "architecture": ({"architecture": "topk"}, InvalidFile, "'topk'"),
    "type": ({"type": "crosscoder"}, InvalidFile, "crosscoder"),
    "another type": ({"type": "sae"}, InvalidFile, "those of a transcoder"),
    "unknown setting": ({"norm_factor": 3}, InvalidFile, "norm_factor"),
    "attention": ({"hf_hook_point_in": "model.layers.1.self_attn.o_proj.input"}, Incompatible, "o_proj"),
    "affine but no skip": ({"affine_connection": False}, InvalidFile, "affine_skip_connection"),
    "crosscoder": ({"tensors": {"w_enc": torch.ones(3, 16, 24)}}, Incompatible, "crosscoder"),
    "NaN": ({"tensors": {"threshold": torch.full((24,), torch.nan)}}, InvalidFile, "threshold in .* NaN"),
    "missing": ({"tensors": {"b_dec": None}}, InvalidFile, "lacks b_dec"),
    "unknown tensor": ({"tensors": {"w_gate": torch.ones(2)}}, InvalidFile, "w_gate"),
    "shape": ({"tensors": {"w_dec": torch.ones(16, 24)}}, InvalidFile, r"w_dec F32\[16, 24\]"),
}


@pytest.mark.parametrize("case", BROKEN_2)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, case):
    changes, error, message = BROKEN_2[case]
    path = copied(tmp_path, **changes)
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_clt_with_a_missing_layer_is_refused(tmp_path):
    path = copied(tmp_path, CLT)
    (path / "params_layer_1.safetensors").unlink()
    with pytest.raises(InvalidFile, match="not named layer_0 to layer_1"):
        read(path, reads="mlp_in", writes="mlp_added")


def test_several_coders_in_one_directory_are_refused(tmp_path):
    path = copied(tmp_path)
    shutil.copy(path / "params.safetensors", path / "other.safetensors")
    with pytest.raises(InvalidFile, match="several coders"):
        read(path)


def test_without_settings_the_user_says_where(tmp_path):
    path = copied(tmp_path, RESIDUAL)
    (path / "config.json").unlink()
    with pytest.raises(UsageError, match="does not say where"):
        read(path)
    coders = read(path, layer=2, site="mlp_added")
    assert (coders.layers, coders.read_site, coders.kind) == ((2,), "mlp_added", "sae")
