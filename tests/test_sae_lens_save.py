"""What is saved in sae-lens's layout is read back equal, here and by sae-lens's own code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from coders_on_disk import FIXTURES, outputs, small_model
from safetensors.torch import load_file
from tiny_models import tiny_model
from tiny_saes import N_FEATURES, tiny_clt, tiny_sae

from circuits.dictionaries.activations import GroupMax, JumpReLU, TopK
from circuits.dictionaries.coders import Coders, CoderSettings, InputNorm
from circuits.dictionaries.formats.sae_lens_save import Origin, save_saes
from circuits.dictionaries.load import describe, load_dictionary
from circuits.dictionaries.rows import DenseRows
from circuits.errors import InvalidFile, OutputExists, UsageError

MODEL = small_model()
TRANSCODER = CoderSettings("transcoder", "mlp_in", "mlp_out", spec="tiny transcoders")
ARCHITECTURES = {  # what sae-lens calls it: activation, kind, skip
    "standard": ("relu", "sae", False),
    "jumprelu": ("jumprelu", "sae", False),
    "topk": ("topk", "sae", False),
    "abstopk": ("abstopk", "sae", False),
    "transcoder": ("relu", "transcoder", False),
    "skip_transcoder": ("relu", "transcoder", True),
    "jumprelu_transcoder": ("jumprelu", "transcoder", False),
    "jumprelu_skip_transcoder": ("jumprelu", "transcoder", True),
}


def made(name, model=MODEL, sites=None, norm=None):
    """Gives random coders of every layer that sae-lens calls by this name."""
    activation, kind, skip = ARCHITECTURES[name]
    coders = tiny_sae(model, "block_out", activation, norm)
    if kind == "sae":
        return coders
    matrix = torch.randn(model.width, model.width, generator=torch.Generator().manual_seed(9)).to(model.dtype)
    layers = [replace(coders.coder(at), skip=DenseRows(matrix) if skip else None) for at in coders.layers]
    read, write = sites or ("mlp_in", "mlp_out")
    return Coders(layers, replace(TRANSCODER, read_site=read, write_site=write))


def save(path, coders, **options):
    save_saes(path, [coders.coder(layer) for layer in coders.layers], coders.settings, **options)
    return path


def assert_same(one, other, model=MODEL):
    x = torch.randn(9, model.width, generator=torch.Generator().manual_seed(4)).to(model.dtype) + 0.3
    assert (one.kind, one.layers, one.read_site, one.write_site) == (
        other.kind,
        other.layers,
        other.read_site,
        other.write_site,
    )
    for layer in one.layers:
        (a, out_a), (b, out_b) = outputs(one, layer, x), outputs(other, layer, x)
        assert 0 < (a.activation != 0).float().mean() < 1
        torch.testing.assert_close(b.activation, a.activation, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(out_b[layer], out_a[layer], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_saved_is_read_back_equal(tmp_path, name):
    coders = made(name)
    path = save(tmp_path / "saved", coders)
    assert_same(coders, load_dictionary(str(path), MODEL))
    assert json.loads((path / "layer_1" / "cfg.json").read_text())["architecture"] == name
    assert {part["layers"] for part in describe(path)["parts"]} == {1}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_settings_and_tensors_bear_the_names_the_library_gives_them(tmp_path, name):
    """The library's own file of this architecture (tests/fixtures/make_sae_lens.py) beside ours."""
    path = save(tmp_path / "saved", made(name)) / "layer_1"
    theirs = FIXTURES / "sae_lens" / name
    config, expected = (json.loads((place / "cfg.json").read_text()) for place in (path, theirs))
    assert expected.keys() - config.keys() <= {"use_sparse_activations"}
    assert config.keys() <= expected.keys()
    for key in ("architecture", "normalize_activations", "reshape_activations", "dtype", "device"):
        assert config[key] == expected[key], key
    tensors, known = (load_file(place / "sae_weights.safetensors") for place in (path, theirs))
    assert tensors.keys() == known.keys()
    sizes = {16: "d", 24: "m", N_FEATURES: "m"}
    for key, tensor in tensors.items():
        assert [sizes[n] for n in tensor.shape] == [sizes[n] for n in known[key].shape], key


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize(
    "sites", [("mlp_in", "mlp_out"), ("residual", "mlp_added"), ("mlp_in_no_gain", "mlp_added")]
)
def test_places_are_read_back(tmp_path, architecture, sites):
    model = tiny_model(architecture, dtype=torch.float64)
    coders = made("jumprelu_transcoder", model, sites)
    path = save(tmp_path / "saved", coders)
    assert_same(coders, load_dictionary(str(path), model), model)
    assert json.loads((path / "layer_0" / "cfg.json").read_text())["dtype"] == "float64"


@pytest.mark.parametrize("norm", [InputNorm("layer_norm"), InputNorm("unit_rms")])
def test_normalisations_are_read_back(tmp_path, norm):
    coders = made("topk", norm=norm)
    assert_same(coders, load_dictionary(str(save(tmp_path / "saved", coders)), MODEL))


def test_metadata_tells_what_the_coders_were_trained_on(tmp_path):
    origin = Origin(model="org/tiny", text="corpus.txt", context=32, prepend_bos=True, first=1)
    path = save(tmp_path / "saved", made("transcoder"), origin=origin)
    metadata = json.loads((path / "layer_2" / "cfg.json").read_text())["metadata"]
    expected = {
        "model_name": "org/tiny",
        "hook_name": "blocks.2.mlp.hook_in",
        "hook_name_out": "blocks.2.mlp.hook_out",
        "context_size": 32,
        "prepend_bos": True,
        "dataset_path": "corpus.txt",
        "seqpos_slice": [1, None],
        "model_from_pretrained_kwargs": {},
    }
    assert expected.items() <= metadata.items()


def test_what_the_layout_cannot_hold_is_refused_and_nothing_written(tmp_path):
    sae, transcoder = made("jumprelu"), made("transcoder")
    first, own = sae.coder(0), transcoder.coder(0)
    skip = DenseRows(torch.eye(MODEL.width))
    below = JumpReLU(first.activation.threshold - 1)
    nan = DenseRows(own.encoder.all().clone())
    nan.matrix[3, 3] = float("nan")
    clt = tiny_clt(MODEL)
    cases = [
        (clt.coder(0), clt.settings, UsageError, "clt of layer 0 writes into other layers"),
        (replace(own, activation=TopK(5)), TRANSCODER, UsageError, "no top-k transcoders"),
        (replace(own, norm=InputNorm("unit_rms")), TRANSCODER, UsageError, "normalises its input"),
        (replace(first, norm=InputNorm("layer_norm", 1e-3)), sae.settings, UsageError, "normalises"),
        (replace(first, activation=TopK(5)), sae.settings, UsageError, "keeps negative values"),
        (replace(first, activation=GroupMax(5)), sae.settings, UsageError, "has a GroupMax"),
        (replace(own, activation=GroupMax(5)), TRANSCODER, UsageError, "has a GroupMax"),
        (replace(first, activation=below), sae.settings, UsageError, "thresholds below 0"),
        (replace(first, skip=skip), sae.settings, UsageError, "has a skip connection"),
        (replace(own, encoder=nan), TRANSCODER, InvalidFile, "W_enc of the transcoder of layer 0 hold NaN"),
    ]
    for layer, settings, error, message in cases:
        with pytest.raises(error, match=message):
            save_saes(tmp_path / "saved", [layer, transcoder.coder(1)], settings)
        assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unless_asked_and_then_whole(tmp_path):
    path = save(tmp_path / "saved", made("jumprelu"))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(OutputExists):
        save(path, made("topk"))
    bad = made("topk")
    with pytest.raises(UsageError):
        save_saes(path, [replace(bad.coder(0), activation=TopK(3))], bad.settings, overwrite=True)
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    one = made("topk")
    save_saes(path, [one.coder(2)], one.settings, overwrite=True)
    assert [p.name for p in path.iterdir()] == ["layer_2"]
