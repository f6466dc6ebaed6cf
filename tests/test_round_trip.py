"""A dictionary trained here gives the same activations wherever it is read: in the weights under training,
by us, by sae-lens's and by circuit-tracer's own code (tests/fixtures/make_round_trip.py)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import yaml
from coders_on_disk import FIXTURES, read, small_model
from extraction import model_of
from safetensors.torch import load_file
from tiny_saes import tiny_clt, tiny_sae

from circuits.dictionaries.activations import ReLU, TopK
from circuits.dictionaries.coders import Coders
from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.rows import DenseRows
from circuits.dictionaries.save import check_layout, save_dictionary
from circuits.errors import InvalidFile, OutputExists, UsageError
from circuits.training.reconstruct import write

CASES = sorted(path.name for path in (FIXTURES / "round_trip").iterdir())
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def opened(name):
    """Gives one case's dictionary, of one layer or of all, with what was written down about it."""
    path = FIXTURES / "round_trip" / name
    alone = path / "saved" / "layer_1"
    dictionary = read(alone if alone.is_dir() else path / "saved")
    return dictionary, load_file(path / "trained.safetensors"), load_file(path / "expected.safetensors")


def given(dictionary, inputs):
    """Gives what a dictionary gives for the inputs of a case, under the same names."""
    told = {}
    out: dict[int, torch.Tensor] = {}
    for layer in dictionary.layers:
        x = inputs[f"x.{layer}"]
        told[f"activations.{layer}"] = dictionary.encode(layer, x).activation
        for to, part in write(dictionary, layer, x).into.items():
            out[to] = out.get(to, 0) + part
    return told | {f"output.{layer}": y for layer, y in out.items()}


@pytest.mark.parametrize("name", CASES)
def test_theirs_ours_and_the_trained_weights_agree(name):
    dictionary, trained, theirs = opened(name)
    ours = given(dictionary, trained)
    assert ours.keys() == theirs.keys() == {key for key in trained if not key.startswith("x.")}
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], **CLOSE, msg=f"{key} beside theirs")
        torch.testing.assert_close(value, trained[key], **CLOSE, msg=f"{key} beside the trained")


@pytest.mark.parametrize("name", CASES)
def test_what_they_read_is_what_we_write(tmp_path, name):
    """Loaded and saved again, the files are those that their code has read."""
    dictionary, _, _ = opened(name)
    saved = FIXTURES / "round_trip" / name / "saved"
    layout = "sae-lens" if (saved / "layer_1").is_dir() else "circuit-tracer"
    save_dictionary(tmp_path / "again", dictionary, layout)
    files = {file.relative_to(saved) for file in saved.rglob("*") if file.is_file()}
    assert files == {
        f.relative_to(tmp_path / "again") for f in (tmp_path / "again").rglob("*") if f.is_file()
    }
    for file in files:
        one, other = saved / file, tmp_path / "again" / file
        if file.suffix == ".safetensors":
            a, b = load_file(one), load_file(other)
            assert a.keys() == b.keys()
            assert all(torch.equal(a[key], b[key]) for key in a), file
        else:
            assert yaml.safe_load(one.read_text()) == yaml.safe_load(other.read_text())


@pytest.mark.parametrize("name", ["set_batchtopk", "set_skip_jumprelu", "skip_jumprelu"])
def test_a_loaded_dictionary_is_saved_in_the_other_layout(tmp_path, name):
    dictionary, inputs, _ = opened(name)
    if dictionary.layers == (1,):  # circuit-tracer's layout has all layers from 0
        own = dictionary.coder(1)
        layers = [replace(own, layer=n, decoders=((n, own.decoders[0][1]),)) for n in range(3)]
        dictionary = Coders(layers, dictionary.settings)
        inputs = {f"x.{n}": inputs["x.1"] for n in range(3)}
    layout = "circuit-tracer" if name == "skip_jumprelu" else "sae-lens"
    save_dictionary(tmp_path / "other", dictionary, layout)
    again = load_dictionary(str(tmp_path / "other"), small_model())
    assert (again.read_site, again.write_site) == (dictionary.read_site, dictionary.write_site)
    before, after = given(dictionary, inputs), given(again, inputs)
    assert before.keys() == after.keys()
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=1e-6, atol=1e-6)


def test_half_precision_is_stored_and_what_it_cannot_hold_refused(tmp_path):
    model = model_of("llama", torch.float32)
    sae = tiny_sae(model, "block_out", "jumprelu")
    save_dictionary(tmp_path / "half", sae, store="float16")
    tensors = load_file(tmp_path / "half" / "layer_0" / "sae_weights.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert json.loads((tmp_path / "half" / "layer_0" / "cfg.json").read_text())["dtype"] == "float32"
    again = load_dictionary(str(tmp_path / "half"), model)
    torch.testing.assert_close(
        again.coder(0).encoder.all(), sae.coder(0).encoder.all().half().float(), rtol=0, atol=0
    )
    large = replace(sae.coder(0), decoders=((0, DenseRows(sae.coder(0).decoders[0][1].all() * 1e6)),))
    nan = replace(sae.coder(0), encoder_bias=torch.full((40,), float("nan")))
    for coder, message in ((large, "A decoder weight of layer 0 is .*float32"), (nan, "An encoder bias of")):
        with pytest.raises(InvalidFile, match=message):
            save_dictionary(tmp_path / "refused", Coders([coder], sae.settings), store="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["half"]


KINDS = {
    "sae": lambda model: tiny_sae(model, "block_out"),
    "transcoder": lambda model: Coders(
        [tiny_sae(model, "mlp_out").coder(layer) for layer in range(3)],
        replace(tiny_sae(model, "mlp_out").settings, kind="transcoder", read_site="mlp_in"),
    ),
    "clt": tiny_clt,
}


@pytest.mark.parametrize("layout", ["sae-lens", "circuit-tracer", "compact"])
@pytest.mark.parametrize("activation", ["topk", "relu"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_foretold_of_a_layout_is_what_its_writer_does(tmp_path, kind, activation, layout):
    """`check_layout` speaks before training, the writers after it: they agree."""
    whole = KINDS[kind](small_model())
    chosen = TopK(5, relu=True) if activation == "topk" else ReLU()
    layers = [replace(whole.coder(layer), activation=chosen) for layer in whole.layers]
    dictionary = Coders(layers, whole.settings)

    def refuses(act) -> bool:
        try:
            act()
        except UsageError:
            return True
        return False

    foretold = refuses(lambda: check_layout(layout, kind, activation))
    assert foretold == refuses(lambda: save_dictionary(tmp_path / "d", dictionary, layout))
    assert (tmp_path / "d").exists() != foretold


def test_refusals(tmp_path):
    model = model_of("llama", torch.float32)
    with pytest.raises(UsageError, match="the model's own weights"):
        save_dictionary(tmp_path / "d", Neurons(model))
    some = KINDS["transcoder"](model)
    some = Coders([some.coder(1), some.coder(2)], some.settings)
    with pytest.raises(UsageError, match="one transcoder for each layer from 0, not layers 1, 2"):
        save_dictionary(tmp_path / "d", some)
    with pytest.raises(UsageError, match="No layout 'openai'"):
        check_layout("openai", "sae", "topk")
    (tmp_path / "d").mkdir()
    with pytest.raises(OutputExists):
        save_dictionary(tmp_path / "d", tiny_sae(model, "block_out"))
