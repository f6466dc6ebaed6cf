"""Activations on disk: what the model gives, in any order, and a clear word where they cannot be trusted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from extraction import model_of
from safetensors.torch import load_file, save_file

from circuits.errors import Incompatible, InvalidFile, WriteFailed
from circuits.models.sites import capture
from circuits.training import buffer as rooms
from circuits.training import manifest as manifests
from circuits.training.activations import Activations
from circuits.training.buffer import fill, shard_file
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Trainer

PLACES = ((0, "mlp_in"), (0, "mlp_out"), (2, "mlp_in"))
SMALL = Training(layers=(0, 2), features=48, k=4, tokens=64 * 12, batch=64, auxiliary=4, dead_after=200)


def sequences(count=40, length=9, seed=0):
    return Sequences(np.random.default_rng(seed).integers(0, 60, (count, length)), "some tokens")


def llama():
    return model_of("llama", torch.float32)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Seven sequences of eight tokens at three places a shard: six shards of forty sequences."""
    monkeypatch.setattr(manifests, "SHARD_BYTES", 7 * 8 * 32 * 3 * 4)


def test_it_holds_what_the_model_gives(tmp_path):
    held = fill(tmp_path / "b", llama(), sequences(), PLACES)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        "manifest.json",
        *(f"shard_0000{n}.safetensors" for n in range(6)),
    ]
    rows = np.array([39, 0, 8, 8, 20])
    seen = capture(llama(), torch.from_numpy(sequences().ids[rows]), PLACES)
    for place, values in held.take(rows, PLACES[::-1]).items():
        torch.testing.assert_close(values, seen[place][:, 1:], rtol=1e-5, atol=1e-5)


def test_its_size_is_foretold(tmp_path):
    held = fill(tmp_path / "b", llama(), sequences(), PLACES, "float16")
    stored = [load_file(file) for file in (tmp_path / "b").glob("*.safetensors")]
    assert held.manifest.size() == sum(t.numel() * t.element_size() for part in stored for t in part.values())
    assert held.manifest.size(2) == 2 * held.manifest.per_shard * 8 * 32 * 3 * 2
    assert {t.dtype for part in stored for t in part.values()} == {torch.float16}


def test_batches_are_in_the_order_of_those_made_on_the_fly(tmp_path):
    """The same tokens at the same step: the same numbers but for the last bit, and from disk exactly."""
    data = sequences()
    held = fill(tmp_path / "b", llama(), data, PLACES)
    learned = Sequences(data.ids[:33], data.source)
    live, stored, again = (
        Activations(llama(), learned, PLACES, 64, seed=3, stored=source) for source in (None, held, held)
    )
    for step in (0, 3, 11):  # within the first pass, at its end, in the third
        one, other = live.at(step), stored.at(step)
        for place in PLACES:
            torch.testing.assert_close(one[place], other[place], rtol=1e-5, atol=1e-5)
            assert torch.equal(other[place], again.at(step)[place])


@pytest.mark.parametrize("kind", ["transcoder", "sae"])
def test_a_run_from_disk_stopped_and_resumed_ends_in_the_same_weights(tmp_path, kind):
    data = sequences()
    settings = replace(SMALL, kind=kind)
    held = fill(tmp_path / "b", llama(), data, settings.places, "float16")
    whole = Trainer(llama(), data, settings, None, held)
    whole.train()
    for steps in (5, None):
        part = Trainer(llama(), data, settings, tmp_path / "run", held)
        part.train(steps=steps)
    for one, other in zip(whole.coders, part.coders, strict=True):
        for name, p in one.parameters().items():
            assert torch.equal(p, other.parameters()[name]), name
    with pytest.raises(Incompatible, match="buffer None against float16"):
        Trainer(llama(), data, settings, tmp_path / "run")


def test_it_is_gone_on_with_and_then_used_again(tmp_path, monkeypatch):
    path = tmp_path / "b"
    real, written = rooms._write, []

    def stops(*arguments):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(arguments[2])
        real(*arguments)

    monkeypatch.setattr(rooms, "_write", stops)
    with pytest.raises(KeyboardInterrupt):
        fill(path, llama(), sequences(), PLACES)
    monkeypatch.setattr(rooms, "_write", real)
    first = {n: shard_file(path, n).stat().st_mtime_ns for n in range(3)}
    assert not json.loads((path / "manifest.json").read_text())["complete"]
    told = []
    fill(path, llama(), sequences(), PLACES, progress=lambda *what: told.append(what))
    assert told == [("Storing activations", n, 6) for n in (3, 4, 5)]
    assert first == {n: shard_file(path, n).stat().st_mtime_ns for n in range(3)}
    once = fill(tmp_path / "whole", llama(), sequences(), PLACES)
    every = np.arange(40)
    for place, values in once.take(every, PLACES).items():
        assert torch.equal(values, fill(path, llama(), sequences(), PLACES[1:2]).take(every, [place])[place])


def test_what_cannot_be_trusted_is_refused(tmp_path):
    path, data = tmp_path / "b", sequences()
    held = fill(path, llama(), data, PLACES)
    third = shard_file(path, 2)
    whole = third.read_bytes()

    def refused(error, message, model=None, tokens=data, places=PLACES, **options):
        with pytest.raises(error, match=message):
            fill(path, model or llama(), tokens, places, **options)

    third.write_bytes(whole[: len(whole) // 2])
    refused(InvalidFile, r"shard_00002.* no whole shard .*remove")
    with pytest.raises(InvalidFile, match="no whole shard"):
        held.take(np.array([15]), PLACES)
    shutil.copy(shard_file(path, 1), third)
    refused(InvalidFile, "a shard of another buffer")
    third.unlink()
    refused(InvalidFile, r"shard_00002.* is missing: remove")
    with pytest.raises(InvalidFile, match="is missing"):
        held.take(np.array([15]), PLACES)
    third.write_bytes(whole)
    refused(Incompatible, "is of another model", model=model_of("mistral", torch.float32))
    refused(Incompatible, "is of another text", tokens=sequences(seed=1))
    refused(Incompatible, "is of another type", kept="float16")
    refused(Incompatible, "lacks mlp_out of layer 2", places=((0, "mlp_in"), (2, "mlp_out")))
    with pytest.raises(Incompatible, match="does not begin with"):
        Activations(llama(), sequences(seed=1), PLACES, 64, 0, held)
    for text in ("{", "[]", '{"version": 1}'):
        (path / "manifest.json").write_text(text)
        refused(InvalidFile, "manifest.json")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InvalidFile, match="is no buffer of activations"):
        fill(tmp_path / "mine", llama(), data, PLACES)


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    needed = manifests.Manifest.of(llama(), sequences(), PLACES, "float32").size()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(WriteFailed, match=r"take 0.00 GB in .*/b, where 0.00 GB are free"):
        fill(tmp_path / "b", llama(), sequences(), PLACES)
    assert not list(tmp_path.iterdir())


def test_numbers_that_half_precision_cannot_hold_are_refused(tmp_path, monkeypatch):
    real = rooms.activations_of
    monkeypatch.setattr(rooms, "activations_of", lambda *a: {p: v * 1e6 for p, v in real(*a).items()})
    with pytest.raises(InvalidFile, match="keep float32"):
        fill(tmp_path / "b", llama(), sequences(), PLACES, "float16")
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["manifest.json"]


def test_it_is_written_a_shard_at_a_time(tmp_path, monkeypatch):
    sizes = []

    def noting(tensors, *arguments, **options):
        sizes.append(sum(tensor.numel() for tensor in tensors.values()))
        save_file(tensors, *arguments, **options)

    monkeypatch.setattr(rooms, "save_file", noting)
    held = fill(tmp_path / "b", llama(), sequences(), PLACES)
    assert max(sizes) == held.manifest.per_shard * 8 * 32 * 3 < held.manifest.size() / 4 / 5
