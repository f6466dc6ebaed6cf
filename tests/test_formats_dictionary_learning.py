"""dictionary_learning: what its own code computed (tests/fixtures/make_dictionary_learning.py) is ours."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, outputs, read, small_model
from malicious import Attack
from safetensors.torch import load_file
from tiny_models import tiny_model

from circuits.cli.main import run
from circuits.dictionaries.formats import dictionary_learning
from circuits.dictionaries.load import describe, load_dictionary
from circuits.dictionaries.reading import reading
from circuits.errors import Incompatible, InvalidFile, UsageError

CASES = sorted(path.name for path in (FIXTURES / "dictionary_learning").iterdir())
ACTIVATIONS = {"topk": "top-5", "standard": "relu", "april_update": "relu", "p_anneal": "relu", "new": "relu"}
UNNAMED = {"site": "block_out"}  # the trainer of gated_anneal writes no submodule_name


def fixture(name):
    path = FIXTURES / "dictionary_learning" / name
    return path, load_file(path / "expected.safetensors")


def coders_of(name):
    return read(fixture(name)[0], **(UNNAMED if name == "gated_anneal" else {}))


@pytest.mark.parametrize("name", CASES)
def test_activations_and_outputs_are_the_librarys(name):
    _, expected = fixture(name)
    coders = coders_of(name)
    encoding, out = outputs(coders, 1, expected["x"])
    torch.testing.assert_close(encoding.activation, expected["activations"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[1], expected["output"], rtol=1e-5, atol=1e-5)
    assert list(out) == [1]
    (term,) = coders.read_terms(1, expected["x"])
    z = expected["x"] @ term.rows.all().T + term.bias
    torch.testing.assert_close(z, encoding.pre_activation, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_layout_and_place_are_told(name):
    path, _ = fixture(name)
    assert layout_of(path) is dictionary_learning
    coders = coders_of(name)
    assert (coders.layers, coders.kind, coders.read_site, coders.write_site) == (
        (1,),
        "sae",
        "block_out",
        "block_out",
    )
    told = describe(f"{path}?site=block_out" if name == "gated_anneal" else path)
    assert (told["features"], told["width"], told["kind"]) == (24, D, "sae")
    assert told["activation"] == ACTIVATIONS.get(name, "jumprelu")
    assert told["fingerprint"] == coders.fingerprint
    assert told["bytes"] == (path / "ae.pt").stat().st_size
    json.dumps(told)


def test_the_rows_of_a_mapped_file_are_read_alone():
    path, _ = fixture("matryoshka")
    stored = torch.load(path / "ae.pt", weights_only=True)
    (term,) = coders_of("matryoshka").write_terms(1, torch.zeros(1, D))
    with reading() as read_of:
        taken = term.rows.take([3, 7])
    assert torch.equal(taken, stored["W_dec"][[3, 7]])
    assert read_of.files == {path / "ae.pt": 4 * 2 * D}


def test_a_matrix_that_lies_transposed_on_disk_is_read_and_counted_as_it_lies():
    path, _ = fixture("topk")
    stored = torch.load(path / "ae.pt", weights_only=True)["encoder.weight"]
    assert stored.stride() == (1, 24)  # the trainer clones a transposed decoder
    (term,) = coders_of("topk").read_terms(1, torch.zeros(1, D))
    assert torch.equal(term.rows.all(), stored)
    with reading() as read_of:
        assert torch.equal(term.rows.take([3, 7]), stored[[3, 7]])
    assert read_of.bytes_read == 4 * 24 * D


def test_decoders_of_unit_norm_are_left_alone_and_others_brought_to_it():
    for name, folded in (("standard", False), ("april_update", True)):
        stored = torch.load(fixture(name)[0] / "ae.pt", weights_only=True)["decoder.weight"].T
        (term,) = coders_of(name).write_terms(1, torch.zeros(1, D))
        assert torch.equal(term.rows.all(), stored) != folded
        torch.testing.assert_close(term.rows.all().norm(dim=1), torch.ones(24))


def test_a_threshold_that_training_never_set_keeps_all_that_are_positive(tmp_path):
    path = edited(tmp_path, "batchtopk", lambda state: state.update(threshold=torch.tensor(-1.0)))
    state = torch.load(path / "ae.pt", weights_only=True)
    x = fixture("batchtopk")[1]["x"]
    z = (x - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    torch.testing.assert_close(read(path).encode(1, x).activation, z.relu(), rtol=1e-5, atol=1e-5)


def test_an_older_top_k_has_k_in_its_settings_alone(tmp_path):
    path = edited(tmp_path, "topk", lambda state: [state.pop(key) for key in ("k", "threshold")])
    _, expected = fixture("topk")
    torch.testing.assert_close(
        read(path).encode(1, expected["x"]).activation, expected["activations"], rtol=1e-5, atol=1e-5
    )


def test_where_the_settings_are_silent_the_user_says_where(tmp_path):
    path, _ = fixture("gated_anneal")
    with pytest.raises(UsageError, match=r"\?layer=5&site=block_out"):
        read(path)
    assert read(path, site="mlp_added").read_site == "mlp_added"
    with pytest.raises(UsageError, match="layer 1: leave out layer=2"):
        read(path, layer=2, site="block_out")
    with pytest.raises(UsageError, match="leave out site=mlp_out"):
        read(fixture("topk")[0], site="mlp_out")
    through = edited(tmp_path, "topk", config={"buffer": {"io": "in_and_out"}})
    with pytest.raises(UsageError, match="'in_and_out' of resid_post_layer_1: give reads and writes"):
        read(through, site="block_out")
    coders = read(through, reads="mlp_in", writes="mlp_out")
    assert (coders.kind, coders.read_site, coders.write_site) == ("transcoder", "mlp_in", "mlp_out")
    with pytest.raises(UsageError, match="'out' of a module: give site"):
        read(path, reads="mlp_in", writes="mlp_out")


def test_a_directory_of_layers_is_one_dictionary(tmp_path):
    shutil.copytree(fixture("topk")[0], tmp_path / "all" / "one")
    edited(tmp_path / "all", "topk", layer=0, submodule_name="resid_post_layer_0")
    assert load_dictionary(str(tmp_path / "all"), small_model()).layers == (0, 1)


def edited(tmp_path, name, change=lambda state: None, config=None, **trainer):
    """Gives a copy of a fixture with another state or other settings."""
    path = tmp_path / "edited"
    shutil.copytree(fixture(name)[0], path)
    settings = json.loads((path / "config.json").read_text()) | (config or {})
    settings["trainer"] |= trainer
    (path / "config.json").write_text(json.dumps(settings))
    state = dict(torch.load(path / "ae.pt", weights_only=True))
    change(state)
    torch.save(state, path / "ae.pt")
    return path


REFUSED = {
    "class": ("topk", {"dict_class": "SwitchSAE"}, InvalidFile, "SwitchSAE.*AutoEncoderTopK"),
    "no class": ("topk", {"dict_class": None}, InvalidFile, "class None"),
    "identity": ("topk", {"dict_class": "IdentityDict"}, Incompatible, "IdentityDict.*coordinates"),
    "crosscoder": ("topk", {"dict_class": "CrossCoder"}, Incompatible, "CrossCoder.*several models"),
    "settings": ("topk", {"pre_scale": 2, "affine": 1}, InvalidFile, "affine, pre_scale"),
    "beside": ("topk", {"config": {"scale": 2}}, InvalidFile, "scale"),
    "k": ("topk", {"k": 2.5}, InvalidFile, r"k 2\.5"),
    "another k": ("topk", {"k": 6}, InvalidFile, "k 5, but its settings say 6"),
    "layer": ("topk", {"layer": "one"}, InvalidFile, "layer 'one'"),
    "sizes": ("topk", {"dict_size": 25}, InvalidFile, r"encoder.weight F32\[24, 16\] where \[25, 16\]"),
    "another class": ("topk", {"dict_class": "AutoEncoder"}, InvalidFile, "lacks bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_are_not_understood_are_refused_in_one_sentence(tmp_path, case):
    name, changes, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as caught:
        read(edited(tmp_path, name, **changes))
    assert "\n" not in str(caught.value)


def _nan(key):
    return lambda state: state[key][(slice(0, 1),) * state[key].ndim].fill_(torch.nan)


BROKEN = {
    "NaN bias": ("topk", _nan("encoder.bias"), "encoder.bias in .* NaN"),
    "NaN threshold": ("jumprelu", _nan("threshold"), "threshold in .* NaN"),
    "NaN encoder": ("topk", _nan("encoder.weight"), "encoder.weight in .* NaN"),
    "missing": ("gated", lambda state: state.pop("r_mag"), "lacks r_mag"),
    "no threshold": ("batchtopk", lambda state: state.pop("threshold"), "lacks threshold"),
    "unknown": ("topk", lambda state: state.update(pre=torch.ones(3)), "holds pre, which"),
    "a setting": ("topk", lambda state: state.update(scale="big"), "holds scale, which"),
    "integers": ("topk", lambda state: state.update(b_dec=torch.ones(16).int()), r"b_dec torch\.int32\[16\]"),
    "transposed": ("jumprelu", lambda s: s.update(W_enc=s["W_enc"].T.contiguous()), r"W_enc F32\[24, 16\]"),
    "no k": ("topk", lambda state: state.update(k=torch.tensor(7)), "k 7, but its settings say 5"),
    "backup": ("topk", lambda state: state.update(ae={}, optimizer={}), "backup of unfinished training"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_state_that_cannot_be_trusted_is_refused_in_one_sentence(tmp_path, case):
    name, change, message = BROKEN[case]
    with pytest.raises(InvalidFile, match=message) as caught:
        read(edited(tmp_path, name, change))
    assert "\n" not in str(caught.value)


def test_a_truncated_file_and_several_files_are_refused(tmp_path):
    path = edited(tmp_path, "topk")
    whole = (path / "ae.pt").read_bytes()
    (path / "ae.pt").write_bytes(whole[:-100])
    with pytest.raises(InvalidFile, match=r"ae\.pt is no whole file of tensors"):
        read(path)
    (path / "ae.pt").write_bytes(whole)
    (path / "ae_1.pt").write_bytes(whole)
    with pytest.raises(InvalidFile, match=r"ae\.pt, ae_1\.pt: one"):
        read(path)
    (path / "ae.pt").unlink()
    (path / "ae_1.pt").unlink()
    with pytest.raises(InvalidFile, match="no file: one"):
        read(path)


@pytest.mark.parametrize("old", [False, True])
def test_pickled_code_is_refused_and_never_run(tmp_path, capsys, old):
    mark = tmp_path / "it ran"
    path = edited(tmp_path, "topk")
    state = torch.load(path / "ae.pt", weights_only=True)
    torch.save({**state, "extra": Attack(mark)}, path / "ae.pt", _use_new_zipfile_serialization=not old)
    assert run(["info", str(path)]) == 4
    said = capsys.readouterr().err.strip()
    assert "holds pickled code (posix.mkdir), which is never run" in " ".join(said.split())
    with pytest.raises(InvalidFile, match="pickled code"):
        read(path)
    assert not mark.exists()
    torch.load(path / "ae.pt", weights_only=False)
    assert mark.exists(), "the attack is real"


def test_a_file_of_an_older_torch_is_read_whole(tmp_path):
    path = edited(tmp_path, "topk")
    state = torch.load(path / "ae.pt", weights_only=True)
    torch.save(state, path / "ae.pt", _use_new_zipfile_serialization=False)
    _, expected = fixture("topk")
    with reading() as read_of:
        coders = read(path)
    torch.testing.assert_close(
        coders.encode(1, expected["x"]).activation, expected["activations"], rtol=1e-5, atol=1e-5
    )
    assert read_of.bytes_read > (path / "ae.pt").stat().st_size


def test_a_dictionary_of_another_width_is_refused():
    with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
        load_dictionary(str(fixture("topk")[0]), tiny_model("llama"))


def test_a_layer_the_model_has_not_is_refused(tmp_path):
    path = edited(tmp_path, "topk", layer=7, submodule_name="resid_post_layer_7")
    with pytest.raises(Incompatible, match="speaks of layer 7, but gemma2 has layers 0 to 2"):
        load_dictionary(str(path), small_model())
