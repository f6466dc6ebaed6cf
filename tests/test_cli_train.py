"""`circuits train` as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from circuits.cli.main import run
from circuits.training.checkpoint import NAME

FAST = ["--features", "256", "-k", "8", "--layers", "0-3", "--batch", "256"]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "ids.npy"
    np.save(path, np.random.default_rng(0).integers(0, 5000, 40_000).astype(np.uint16))
    return path


def weights(path: Path) -> dict[str, np.ndarray]:
    return {f"{f.name} {k}": v for f in sorted(path.glob("*.safetensors")) for k, v in load_file(f).items()}


def test_trains_a_dictionary_that_attribute_takes(tokens: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "mine"
    asked = ["train", "toy", "--text", str(tokens), "-o", str(out), "--tokens", "5000", *FAST, "--json"]
    assert run(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["layers"]) == {"0", "1", "2", "3"}
    assert told["layers"]["2"]["l0"] <= 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]
    where = ["--model", "toy", "--dictionary", str(out), "-o", str(tmp_path / "run"), "-q"]
    assert run(["attribute", "The capital of Texas is", *where]) == 0
    capsys.readouterr()
    assert run(asked) == 1  # it exists
    assert "exists" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert run([*asked, "--overwrite"]) == 0
    capsys.readouterr()
    assert run([*asked[:5], str(tmp_path / "run"), *asked[6:], "--overwrite"]) == 1  # that is a run
    assert "is no dictionary" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_killed_and_given_again_it_ends_in_the_same_weights(tokens: Path, tmp_path: Path) -> None:
    common = ["train", "toy", "--text", str(tokens), "--tokens", "100000", *FAST, "-q"]
    assert run([*common, "-o", str(tmp_path / "whole")]) == 0
    command = [sys.executable, "-m", "circuits", *common, "-o", str(tmp_path / "part")]
    checkpoint = tmp_path / "part.training" / NAME
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(command)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            if number == signal.SIGINT and (tmp_path / "part.training").exists():
                time.sleep(0.3)
                break
            if number == signal.SIGKILL and time.monotonic() > deadline - 55:
                break
        process.send_signal(number)
        code = process.wait()
        if number == signal.SIGINT and code == 130:
            assert checkpoint.stat().st_mtime_ns > before
        assert not (tmp_path / "part").exists() or code == 0
    if not (tmp_path / "part").exists():
        assert run([*common, "-o", str(tmp_path / "part")]) == 0
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--layers", "two"], 2, "no layer and no range"),
        (["--layers", "0-9"], 2, "No layer 4 in model"),
        (["--batch", "100000"], 2, "less than one batch"),
        (["-k", "300"], 2, "k is 300 of 256"),
        (["--text", "missing.txt"], 3, "No file missing.txt"),
    ],
)
def test_refusals(tokens: Path, tmp_path: Path, capsys, extra: list[str], code: int, message: str) -> None:
    out = ["-o", str(tmp_path / "mine"), "-q"]
    assert run(["train", "toy", "--text", str(tokens), *FAST, *out, *extra]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
