"""Our own layout: what is read is what was written, to the last multiple of a 127th."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from coders_on_disk import layout_of, outputs, read, small_model
from safetensors.torch import load_file, save_file
from tiny_saes import ACTIVATIONS, tiny_clt, tiny_sae

from circuits.dictionaries.activations import RoutedTopK
from circuits.dictionaries.coders import Coders, InputNorm
from circuits.dictionaries.formats import compact
from circuits.dictionaries.formats.compact import quantised, save_compact
from circuits.dictionaries.load import describe, load_dictionary
from circuits.errors import InvalidFile, OutputExists, UsageError


def routed(model):
    """An SAE whose features are in five groups of eight, two searched."""
    sae = tiny_sae(model, "block_out", layers=(0, 1))
    dice = torch.Generator().manual_seed(3)
    routers = [
        RoutedTopK(3, 2, torch.randn(5, 16, generator=dice), torch.randn(5, generator=dice)) for _ in "ab"
    ]
    coders = [replace(sae.coder(at), activation=router) for at, router in enumerate(routers)]
    return Coders(coders, sae.settings)


MADE = {
    **{
        f"sae {name}": lambda m, name=name: tiny_sae(m, "block_out", name, layers=(1,))
        for name in ACTIVATIONS
    },
    "clt": lambda m: tiny_clt(m, "topk"),
    "routed": routed,
    "clt jumprelu": lambda m: tiny_clt(m, "jumprelu"),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_read_is_what_was_written(name, tmp_path):
    model = small_model()
    made = MADE[name](model)
    save_compact(tmp_path / "one", made)
    assert layout_of(tmp_path / "one") is compact
    held = read(tmp_path / "one")
    assert (held.kind, held.layers, held.read_site, held.write_site) == (
        made.kind, made.layers, made.read_site, made.write_site,
    )  # fmt: skip
    for layer in made.layers:
        ours, theirs = held.coder(layer), made.coder(layer)
        assert [to for to, _ in ours.decoders] == [to for to, _ in theirs.decoders]
        for got, given in (
            (ours.encoder, theirs.encoder),
            *((a[1], b[1]) for a, b in zip(ours.decoders, theirs.decoders, strict=True)),
        ):
            exact, step = given.all(), given.all().abs().amax(1, keepdim=True) / 127
            assert ((got.all() - exact).abs() <= step / 2 * 1.001).all()
            assert not torch.equal(got.all(), exact)
            torch.testing.assert_close(got.take([3, 1]), got.all()[[3, 1]], rtol=0, atol=0)
        assert torch.equal(ours.encoder_bias, theirs.encoder_bias)
        assert torch.equal(ours.decoder_bias, theirs.decoder_bias)
        if isinstance(theirs.activation, RoutedTopK):
            assert torch.equal(ours.activation.router, theirs.activation.router)
            assert torch.equal(ours.activation.router_bias, theirs.activation.router_bias)
            assert (ours.activation.k, ours.activation.searched) == (3, 2)
    save_compact(tmp_path / "two", held)  # multiples of a 127th stay what they are
    again = read(tmp_path / "two")
    x = torch.randn(5, model.width)
    for layer in made.layers:
        one, other = outputs(held, layer, x), outputs(again, layer, x)
        torch.testing.assert_close(one[0].activation, other[0].activation, rtol=1e-5, atol=1e-6)
        for to in one[1]:
            torch.testing.assert_close(one[1][to], other[1][to], rtol=1e-5, atol=1e-5)


def test_rows_are_the_nearest_steps_and_a_row_of_zeros_stays():
    rows = torch.tensor([[1.27, -0.634, 0.0], [0.0, 0.0, 0.0]])
    steps, scale = quantised(rows)
    assert steps.tolist() == [[127, -63, 0], [0, 0, 0]]
    torch.testing.assert_close(scale, torch.tensor([0.01, 0.0]))


def test_a_description_needs_no_model(tmp_path):
    save_compact(tmp_path / "one", tiny_clt(small_model(), "topk"))
    told = describe(tmp_path / "one")
    assert (told["kind"], told["layers"], told["features"], told["activation"]) == ("clt", 3, 40, "top-7")
    assert told["bytes"] == sum(f.stat().st_size for f in (tmp_path / "one").glob("*.safetensors"))


def test_what_cannot_be_said_is_refused(tmp_path):
    normed = tiny_sae(small_model(), "block_out", "relu", InputNorm("unit_rms"))
    with pytest.raises(UsageError, match="normalises its input"):
        save_compact(tmp_path / "one", normed)
    assert not list(tmp_path.iterdir())
    save_compact(tmp_path / "one", tiny_clt(small_model()))
    with pytest.raises(OutputExists, match="--overwrite"):
        save_compact(tmp_path / "one", tiny_clt(small_model()))


def change(path, **settings):
    file = path / "dictionary.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def cut(path):
    file = path / "layer_1.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def spoil(path, key, value):
    file = path / "layer_1.safetensors"
    save_file({**load_file(file), key: value}, file)


BROKEN = {
    "version": (lambda p: change(p, circuits_dictionary=7), "of version 7: this program reads 1"),
    "kind": (lambda p: change(p, kind="crosscoder"), "kind as 'crosscoder': known are transcoder, clt, sae"),
    "activation": (lambda p: change(p, activation="gelu"), "activation as 'gelu'"),
    "k": (lambda p: change(p, k=None), "topk with k None, relu True, searched None: it needs k and relu"),
    "searched": (lambda p: change(p, activation="routed_topk"), "it needs k and searched"),
    "layers": (lambda p: change(p, layers="all"), "layers as 'all'"),
    "unknown": (lambda p: change(p, temperature=1), "temperature"),
    "missing": (lambda p: (p / "layer_1.safetensors").unlink(), "lacks layer_1.safetensors"),
    "truncated": (cut, "no whole safetensors file"),
    "shape": (lambda p: spoil(p, "encoder", torch.zeros(3, 4, dtype=torch.int8)), "lacks encoder as"),
    "type": (lambda p: spoil(p, "decoder.2", torch.zeros(40, 16)), "lacks decoder.2 as"),
    "nan": (lambda p: spoil(p, "encoder.scale", torch.full((40,), float("nan"))), "NaN"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_directory_is_refused_in_one_sentence(name, tmp_path):
    save_compact(tmp_path / "good", tiny_clt(small_model(), "topk"))
    shutil.copytree(tmp_path / "good", tmp_path / "bad")
    breaks, message = BROKEN[name]
    breaks(tmp_path / "bad")
    with pytest.raises(InvalidFile, match=message) as error:
        load_dictionary(str(tmp_path / "bad"), small_model())
    assert "\n" not in str(error.value)
