"""sparsify: what its own code computed (tests/fixtures/make_sparsify.py) is what we compute."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, outputs, read, small_model
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from circuits.dictionaries.activations import GroupMax
from circuits.dictionaries.formats import sparsify
from circuits.dictionaries.load import describe, load_dictionary
from circuits.dictionaries.save import save_dictionary
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.extraction.extract import extract
from circuits.prompt import Prompt

CASES = {  # directory, features, activation, read and write site
    "expansion": ("layers.1", 32, "top-5", "block_out", "block_out"),
    "groupmax": ("layers.1.mlp", 24, "groupmax-6", "mlp_out", "mlp_out"),
    "signed": ("layers.1", 24, "abstop-5", "block_out", "block_out"),
    "skip": ("h.1.mlp", 24, "top-5", "mlp_in", "mlp_out"),
    "transcoder": ("layers.1.mlp", 24, "top-5", "mlp_in", "mlp_out"),
}


def fixture(name):
    path = FIXTURES / "sparsify" / name / CASES[name][0]
    return path, load_file(path / "expected.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_activations_and_outputs_are_the_librarys(name):
    path, expected = fixture(name)
    coders = read(path)
    encoding, out = outputs(coders, 1, expected["x"])
    torch.testing.assert_close(encoding.activation, expected["activations"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[1], expected["output"], rtol=1e-5, atol=1e-5)
    assert list(out) == [1]
    assert torch.equal(encoding.activation != 0, _on(encoding))


def _on(encoding):
    z = encoding.pre_activation.abs() if encoding.gate == "abstopk" else encoding.pre_activation
    return z > encoding.threshold


@pytest.mark.parametrize("name", CASES)
def test_layout_and_place_are_told(name):
    path, _ = fixture(name)
    _, m, activation, reads, writes = CASES[name]
    assert layout_of(path) is sparsify
    coders = read(path)
    assert (coders.layers, coders.read_site, coders.write_site) == ((1,), reads, writes)
    told = describe(path)
    assert (told["features"], told["width"], told["activation"]) == (m, D, activation)
    assert told["kind"] == coders.kind == ("transcoder" if reads == "mlp_in" else "sae")
    assert told["skip"] == (name == "skip")
    assert told["fingerprint"] == coders.fingerprint
    json.dumps(told)


def test_group_max_keeps_the_largest_of_each_group_and_signed_the_largest_by_magnitude():
    z = torch.tensor([[1.0, 3.0, -2.0, -1.0, 0.5, 0.25]])
    assert GroupMax(3)(z).activation.tolist() == [[0, 3, 0, 0, 0.5, 0]]
    assert GroupMax(6)(z).activation.tolist() == [[1, 3, 0, 0, 0.5, 0.25]]
    assert (fixture("signed")[1]["activations"] < 0).any()
    assert ((fixture("groupmax")[1]["activations"] != 0).sum(dim=1) < 6).any(), "some groups are all negative"


def test_a_transcoder_of_before_its_key_subtracts_b_dec(tmp_path):
    path = edited(tmp_path, "skip", drop=("transcode",))
    weights = load_file(path / "sae.safetensors")
    x = fixture("skip")[1]["x"]
    coders = read(path)
    assert (coders.kind, coders.read_site) == ("transcoder", "mlp_in")
    z = (x - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"]
    torch.testing.assert_close(coders.encode(1, x).pre_activation, z, rtol=1e-5, atol=1e-5)


def test_hints_overrule_the_name_of_a_directory(tmp_path):
    path = edited(tmp_path, "groupmax", drop=("transcode",))
    assert read(path).kind == "sae"
    coders = read(path, layer=2, reads="mlp_in", writes="mlp_out")
    assert (coders.kind, coders.layers, coders.read_site) == ("transcoder", (2,), "mlp_in")
    with pytest.raises(Incompatible, match="is a transcoder: give reads and writes"):
        read(fixture("transcoder")[0], layer=1, site="mlp_out")
    plain = path.rename(path.parent / "mine")
    with pytest.raises(UsageError, match=r"\?layer=5&site=block_out"):
        read(plain)
    assert read(plain, layer=0, site="mlp_out").layers == (0,)


def test_all_layers_are_one_dictionary_that_explains_a_prompt_and_a_missing_one_is_missed(tmp_path):
    model = small_model("llama")
    folder = tmp_path / "all"
    for layer in range(model.n_layers):
        shutil.copytree(fixture("transcoder")[0], folder / f"layers.{layer}.mlp")
    dictionary = load_dictionary(str(folder), model)
    assert dictionary.layers == (0, 1, 2)
    trace = extract(model, dictionary, Prompt.of("t1 t2 t3", model))
    assert len(trace.features) == 3 * 3 * 5
    shutil.rmtree(folder / "layers.1.mlp")
    with pytest.raises(Incompatible, match=r"covers 2 layers, but llama has.* 3"):
        load_dictionary(str(folder), model)


def edited(tmp_path, name, drop=(), **changes):
    """Gives a copy of a fixture with other settings, under the same directory name."""
    source, _ = fixture(name)
    path = tmp_path / "edited" / source.name
    shutil.copytree(source, path)
    config = json.loads((path / "cfg.json").read_text()) | changes
    (path / "cfg.json").write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))
    return path


REFUSED = {
    "settings": ("transcoder", {"jumprelu": True, "pre_norm": 1}, InvalidFile, "jumprelu, pre_norm"),
    "activation": ("transcoder", {"activation": "relu"}, InvalidFile, "'relu'.*groupmax"),
    "uneven groups": ("groupmax", {"k": 5}, InvalidFile, "'groupmax' with k 5 of 24"),
    "signed groups": ("groupmax", {"signed": True}, InvalidFile, "signed True"),
    "numbers": ("transcoder", {"k": 2.5, "num_latents": -1}, InvalidFile, r"k 2\.5, num_latents -1"),
    "flags": ("transcoder", {"transcode": "yes"}, InvalidFile, "transcode 'yes'"),
    "latents": ("transcoder", {"num_latents": 0}, InvalidFile, r"\[24, 16\] where \[512, 16\]"),
    "skip": ("transcoder", {"skip_connection": True}, InvalidFile, "lacks W_skip"),
    "no skip": ("skip", {"skip_connection": False}, InvalidFile, "holds W_skip, which"),
    "transcoder of a block": (
        "expansion",
        {"transcode": True},
        Incompatible,
        "'layers.1': only that of one MLP",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, case):
    name, changes, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as caught:
        read(edited(tmp_path, name, **changes))
    assert "\n" not in str(caught.value)


def test_a_module_where_features_cannot_sit_is_refused(tmp_path):
    path = edited(tmp_path, "expansion")
    with pytest.raises(Incompatible, match=r"layers\.1\.self_attn"):
        read(path.rename(path.parent / "layers.1.self_attn"))


def _nan(key):
    return lambda tensors: tensors[key].view(-1)[:1].fill_(torch.nan)


BROKEN = {
    "NaN bias": (_nan("encoder.bias"), "encoder.bias in .* NaN"),
    "NaN encoder": (_nan("encoder.weight"), "encoder.weight in .* NaN"),
    "NaN decoder": (_nan("W_dec"), "W_dec in .* NaN"),
    "missing": (lambda tensors: tensors.pop("b_dec"), "lacks b_dec"),
    "unknown": (lambda tensors: tensors.update(pre=torch.ones(3)), "holds pre, which"),
    "integers": (lambda tensors: tensors.update(b_dec=torch.ones(16).int()), r"b_dec I32\[16\]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_tensors_that_cannot_be_trusted_are_refused(tmp_path, case):
    change, message = BROKEN[case]
    path = edited(tmp_path, "expansion")
    tensors = load_file(path / "sae.safetensors")
    change(tensors)
    save_file(tensors, path / "sae.safetensors")
    with pytest.raises(InvalidFile, match=message):
        outputs(read(path), 1, torch.ones(2, D))


def test_a_truncated_file_and_a_missing_one_are_refused(tmp_path):
    path = edited(tmp_path, "expansion")
    file = path / "sae.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InvalidFile, match="no whole safetensors"):
        read(path)
    file.unlink()
    with pytest.raises(InvalidFile, match="in no file: one"):
        read(path)


@pytest.mark.parametrize("layout", ["sae-lens", "compact"])
def test_where_group_max_cannot_be_saved_it_is_said(tmp_path, layout):
    coders = read(fixture("groupmax")[0])
    with pytest.raises(UsageError, match="GroupMax"):
        save_dictionary(tmp_path / "saved", coders, layout)
    assert not list(tmp_path.iterdir())


def test_a_coder_of_another_width_is_refused():
    with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
        load_dictionary(str(fixture("expansion")[0]), tiny_model("llama"))
