"""`circuits train` as a user meets it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from tiny_folder import tiny_folder

from circuits.cli.main import run
from circuits.training.checkpoint import NAME

FAST = ["--features", "64", "-k", "4", "--batch", "128", "--length", "17", "--tokens", "2560"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "ids.npy"
    np.save(path, np.random.default_rng(0).integers(0, 90, 17 * 120).astype(np.uint16))
    return path


@pytest.fixture
def train(model: Path, tokens: Path, tmp_path: Path, capsys):
    """Runs the command with `-o tmp_path/mine` unless said otherwise; gives its code and what it printed."""

    def act(*extra: str, out: Path | None = None) -> tuple[int, str, str]:
        where = ["-o", str(out or tmp_path / "mine")]
        code = run(["train", str(model), "--text", str(tokens), *FAST, *where, *extra])
        said = capsys.readouterr()
        return code, said.out, said.err

    return act


def weights(path: Path) -> dict[str, np.ndarray]:
    return {
        f"{f.relative_to(path)} {k}": v
        for f in sorted(path.rglob("*.safetensors"))
        for k, v in load_file(f).items()
    }


def state(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_trains_a_dictionary_of_the_toy_that_attribute_takes(tmp_path: Path, capsys) -> None:
    tokens, out = tmp_path / "ids.npy", tmp_path / "mine"
    np.save(tokens, np.random.default_rng(0).integers(0, 5000, 4000).astype(np.uint16))
    asked = ["train", "toy", "--text", str(tokens), "-o", str(out), "--tokens", "1024", "--batch", "256"]
    asked += ["--features", "256", "-k", "8", "--json"]
    assert run(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["layers"]) == {"0", "1", "2", "3"}
    assert told["layers"]["2"]["l0"] <= 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ids.npy", "mine"]
    where = ["--model", "toy", "--dictionary", str(out), "-o", str(tmp_path / "run"), "-q"]
    assert run(["attribute", "The capital of Texas is", *where]) == 0


KINDS = {  # what is asked for: kind, layout, layers it is told of, and files
    "transcoder": (["--kind", "transcoder"], "circuit-tracer", "012", "config.yaml"),
    "skip": (
        ["--kind", "skip-transcoder", "--activation", "jumprelu"],
        "circuit-tracer",
        "012",
        "config.yaml",
    ),
    "clt": (["--kind", "clt"], "circuit-tracer", "012", "config.yaml"),
    "sae": (["--kind", "sae", "--layers", "1-2"], "sae-lens", "12", "layer_2/cfg.json"),
    "sae at an MLP": (["--kind", "sae", "--site", "mlp_out"], "sae-lens", "012", "layer_0/cfg.json"),
    "for sae-lens": (["--layout", "sae-lens"], "sae-lens", "012", "layer_0/cfg.json"),
    "grown": (["--growth", "16:0.3", "--growth", "32:0.6"], "circuit-tracer", "012", "config.yaml"),
    "routed": (["--kind", "sae", "--routed", "4:2"], "compact", "012", "dictionary.json"),
    "compact": (
        ["--kind", "clt", "--activation", "topk", "--layout", "compact"],
        "compact",
        "012",
        "dictionary.json",
    ),
}


@pytest.mark.parametrize("case", KINDS)
def test_every_kind_is_trained_measured_and_saved_as_those_who_use_it_read_it(
    train, model, tmp_path, capsys, case
):
    asked, layout, layers, file = KINDS[case]
    code, out, _ = train(*asked, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["layout"] == layout
    assert list(told["layers"]) == list(layers)
    for fit in told["layers"].values():
        assert 0 < fit["fvu"] < 1.5
        assert 0 < fit["l0"] < 64
        assert 0 <= fit["dead"] < 1
    assert told["held_out_tokens"] == 128  # eight sequences of sixteen: one batch, more than 2%
    assert (tmp_path / "mine" / file).is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]
    prompt = ["attribute", "w3 w14 w15 w9", "-m", str(model), "-d", str(tmp_path / "mine")]
    assert run([*prompt, "-o", str(tmp_path / "run"), "-q"]) == 0
    assert run(["info", str(tmp_path / "mine")]) == 0
    assert "sae" in capsys.readouterr().out or "sae" not in case


def test_what_is_held_out_is_the_rest_and_from_all_over_the_text() -> None:
    from circuits.errors import InvalidFile
    from circuits.training.tokens import Sequences, hold_out

    whole = Sequences(np.arange(1000 * 5).reshape(1000, 5), "numbers")
    learned, held = hold_out(whole.mixed(), batch=60)
    assert len(held) == 20  # 2%, more than one batch
    assert len(hold_out(whole, batch=200)[1]) == 50  # one batch of four tokens a sequence
    both = np.concatenate([learned.ids, held.ids])
    assert np.array_equal(np.sort(both[:, 0]), whole.ids[:, 0])  # each once, here or there
    place = held.ids[:, 0] / 5000
    assert 0.3 < place.mean() < 0.7
    assert place.max() - place.min() > 0.7
    with pytest.raises(InvalidFile, match="4,000 usable tokens, less than one batch of 2,004"):
        hold_out(whole, batch=2004)


def test_what_is_measured_are_the_saved_weights_on_what_was_held_out(train, model, tokens, tmp_path) -> None:
    """FVU by hand from the files, on eight sequences from all over the text."""
    import torch

    from circuits.dictionaries.load import load_dictionary
    from circuits.models.load import load_model
    from circuits.models.sites import capture

    _, out, _ = train("--kind", "sae", "--layers", "1", "--json")
    loaded = load_model(str(model))
    held = np.random.default_rng(0).permutation(120)[-8:]
    ids = torch.from_numpy(np.load(tokens).reshape(-1, 17)[held].astype(np.int64))
    y = capture(loaded, ids, [(1, "block_out")])[1, "block_out"][:, 1:].flatten(0, 1)
    sae = load_dictionary(str(tmp_path / "mine"), loaded)
    a = sae.encode(1, y).activation
    rest = y - a @ sae.coder(1).decoders[0][1].all() - sae.coder(1).decoder_bias
    expected = {
        "fvu": float(rest.square().sum() / (y - y.mean(0)).square().sum()),
        "l0": float((a != 0).sum(1).float().mean()),
        "dead": float((a == 0).all(0).float().mean()),
    }
    assert json.loads(out)["layers"]["1"] == pytest.approx(expected, rel=1e-4)


def test_progress_and_result_are_told(train, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("circuits.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    code, out, err = train("--buffer", str(tmp_path / "buffer"))
    assert code == 0
    line = next(line for line in err.splitlines() if line.startswith("Training: 9 of 20"))
    assert all(word in line for word in ("loss ", "FVU ", "L0 4.0", "dead 0.0%"))
    assert "transcoders, 64 features in each of 3 layers, circuit-tracer layout" in " ".join(out.split())
    assert "On 128 tokens kept from training" in out
    assert out.count("FVU") == 3


STEADY = """
import sys
from circuits.training.trainer import Trainer
Trainer.train.__kwdefaults__["every"] = 0.0  # a checkpoint after every step
from circuits.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def steps_of(checkpoint: Path) -> int:
    try:
        with safe_open(checkpoint, framework="np") as file:
            return json.loads(file.metadata()["circuits"])["step"]
    except OSError:
        return -1


@pytest.mark.parametrize("kind", ["transcoder", "sae", "clt"])
def test_killed_at_a_random_moment_and_given_again_it_ends_in_the_same_weights(
    train, model, tokens, tmp_path, kind
) -> None:
    more = ["--kind", kind, "--tokens", "19200"]  # 150 steps, the data gone through ten times
    assert train(*more, out=tmp_path / "whole")[0] == 0
    common = ["train", str(model), "--text", str(tokens), *FAST, "-o", str(tmp_path / "mine"), "-q", *more]
    process = subprocess.Popen([sys.executable, "-c", STEADY, *common])
    checkpoint, until = tmp_path / "mine.training" / NAME, random.randrange(3, 60)
    while process.poll() is None and steps_of(checkpoint) < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert until <= steps_of(checkpoint) < 150
    assert not (tmp_path / "mine").exists()
    code, _, err = train(*more)
    assert code == 0
    assert "Going on after" in err
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "mine")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "whole"]


def test_an_interrupted_run_says_so_and_goes_on(train, tmp_path, monkeypatch) -> None:
    from circuits.training.trainer import Trainer

    real = Trainer._step

    def interrupted(self, batch):
        if self.done == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    code, _, err = train()
    assert (code, "Interrupted: nothing half-written is left" in err) == (130, True)
    monkeypatch.setattr(Trainer, "_step", real)
    code, _, err = train("--seed", "1")
    assert (code, err.count("\n")) == (4, 2)  # "Loading …", and one sentence
    assert "is of another run (seed 1 against 0)" in err
    code, _, err = train("--overwrite")  # of the same run nothing is thrown away
    assert (code, "Going on after 8 of 20 steps" in err) == (0, True)


def test_overwrite_begins_again_where_another_run_stands(train, tmp_path) -> None:
    place = tmp_path / "mine.training"
    place.mkdir()
    (place / NAME).write_bytes(b"not a checkpoint")
    (place / "notes.txt").write_text("mine")
    code, _, err = train("-q")
    assert (code, "no whole checkpoint" in err) == (4, True)
    assert (place / NAME).read_bytes() == b"not a checkpoint"
    assert train("-q", "--overwrite")[0] == 0
    assert state(place) == {"notes.txt": b"mine"}  # what is not the run's is left


def test_a_dictionary_is_replaced_when_asked_and_nothing_else_ever_is(train, tmp_path) -> None:
    assert train("-q", "--kind", "sae", "--layers", "1")[0] == 0
    before = state(tmp_path / "mine")
    code, _, err = train("-q")
    assert (code, "exists" in err) == (1, True)
    assert state(tmp_path / "mine") == before
    assert train("-q", "--overwrite")[0] == 0  # an SAE by transcoders
    assert (tmp_path / "mine" / "config.yaml").is_file()
    for name in ("dictionaries", "papers"):
        other = tmp_path / name
        (other / "layer_0").mkdir(parents=True)
        (other / "layer_0" / "cfg.json").write_text("{}")
        (other / "notes.txt").write_text("mine")
        before = state(other)
        code, _, err = train("-q", "--overwrite", out=other)
        assert (code, "is no dictionary" in err) == (1, True)
        assert state(other) == before


def test_a_buffer_serves_several_runs(train, tmp_path) -> None:
    buffer = ["--buffer", str(tmp_path / "buffer")]
    assert train("-q", *buffer, out=tmp_path / "one")[0] == 0
    held = state(tmp_path / "buffer")
    assert (
        train("-q", *buffer, "--kind", "sae", "--site", "mlp_out", "--layers", "1", out=tmp_path / "two")[0]
        == 0
    )
    assert train("-q", out=tmp_path / "live")[0] == 0
    assert state(tmp_path / "buffer") == held
    live, stored = weights(tmp_path / "live"), weights(tmp_path / "one")
    for key, value in live.items():  # the same tokens in the same order
        np.testing.assert_allclose(stored[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--layers", "two"], 2, "no layer and no range"),
        (["--layers", "0-9"], 2, "No layer 3 in tiny"),
        (["--layers", "1-2"], 2, "transcoders of all 3 layers"),
        (["--kind", "clt", "--layers", "1-2"], 2, "train all 3 layers"),
        (["--batch", "1000"], 4, "1,920 usable tokens, less than one batch of 1,000 to train on"),
        (["--length", "100"], 2, "takes 2 to 64"),
        (["-k", "300"], 2, "k is 300 of 64"),
        (["--text", "missing.txt"], 3, "No file missing.txt"),
        (["--site", "mlp_out"], 2, "--site says where an SAE sits"),
        (["--kind", "sae", "--site", "mlp_in"], 2, "'mlp_in' is not one of"),
        (["--kind", "sae", "--layout", "circuit-tracer"], 2, "circuit-tracer has no SAEs"),
        (["--kind", "clt", "--layout", "sae-lens"], 2, "sae-lens has no cross-layer transcoders"),
        (["--kind", "clt", "--activation", "topk"], 2, "no top-k cross-layer transcoders"),
        (["--layout", "sae-lens", "--activation", "topk"], 2, "no top-k transcoders"),
        (["--layout", "sae-lens", "--kind", "sae", "--routed", "4:2"], 2, "sae-lens has no routed"),
        (["--routed", "4"], 2, "--routed '4' is no pair of numbers: write 64:4"),
        (["--routed", "5:2"], 2, "64 features in 5 groups"),
        (["--growth", "32:half"], 2, "--growth '32:half' is no pair"),
        (["--growth", "32:0.5", "--growth", "16:0.7"], 2, "Growth 32 until 0.5 of the steps, 16 until 0.7"),
    ],
)
def test_refusals(train, tmp_path: Path, extra: list[str], code: int, message: str) -> None:
    found, _, err = train("-q", *extra)
    assert (found, message in err, err.count("\n")) == (code, True, 1), err
    assert not list(tmp_path.iterdir())


def test_models_texts_and_buffers_that_do_not_fit_are_refused_and_nothing_is_touched(
    train, model, tokens, tmp_path, capsys
) -> None:
    buffer = ["--buffer", str(tmp_path / "buffer")]
    assert train("-q", *buffer, "--kind", "sae", "--layers", "1")[0] == 0
    shard = tmp_path / "buffer" / "shard_00000.safetensors"
    whole = shard.read_bytes()
    wide = tiny_folder(tmp_path / "wide", hidden_size=16)
    loud = tiny_folder(tmp_path / "loud", times=3e38)
    many = tmp_path / "many.npy"
    np.save(many, np.full(4000, 5000, np.uint16))
    before = state(tmp_path)

    capsys.readouterr()

    def refused(message: str, *extra: str, asked: Path = model, text: Path = tokens) -> None:
        new = ["-o", str(tmp_path / "new")]
        code = run(["train", str(asked), "--text", str(text), *FAST, "-q", *new, *extra])
        err = capsys.readouterr().err
        assert (code, message in err, err.count("\n")) == (4, True, 1), err
        assert state(tmp_path) == before

    refused("gives NaN or infinity at mlp_out of layer 0", asked=loud)
    refused("token ids up to 5000, but tiny has 97", text=many)
    refused("is of another model", *buffer, "--kind", "sae", "--layers", "1", asked=wide)
    refused("lacks mlp_in of layer 0", *buffer)
    refused("is no buffer of activations", "--buffer", str(tmp_path / "mine"))
    shard.write_bytes(whole[:200])
    before = state(tmp_path)
    refused("no whole shard", *buffer, "--kind", "sae", "--layers", "1")
    shard.unlink()
    before = state(tmp_path)
    refused("is missing: remove", *buffer, "--kind", "sae", "--layers", "1")


def test_a_dictionary_for_another_model_or_place_is_refused(train, model, tmp_path, capsys) -> None:
    assert train("-q")[0] == 0
    assert train("-q", "--kind", "sae", "--layers", "1", out=tmp_path / "sae")[0] == 0
    wide = tiny_folder(tmp_path / "wide", hidden_size=16)

    capsys.readouterr()

    def refused(message: str, dictionary: str, asked: Path = model) -> None:
        out = ["-o", str(tmp_path / "run"), "-q"]
        code = run(["attribute", "w1 w2", "-m", str(asked), "-d", str(tmp_path / dictionary), *out])
        err = capsys.readouterr().err
        assert (code, message in err, err.count("\n")) == (4, True, 1), err
        assert not (tmp_path / "run").exists()

    refused("has width 32, but wide has width 16", "mine", wide)
    (tmp_path / "mine" / "layer_1.safetensors").unlink()
    refused("lacks layer_1.safetensors", "mine")
    config = tmp_path / "sae" / "layer_1" / "cfg.json"
    text = config.read_text()
    config.write_text(text.replace("hook_resid_post", "attn.hook_z"))
    refused("sits at 'blocks.1.attn.hook_z'", "sae")
    config.write_text(text.replace("blocks.1", "blocks.7"))
    refused("speaks of layer 7, but tiny has layers 0 to 2", "sae")
