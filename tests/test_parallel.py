"""Ranks that share the features: two processes take the step one takes, and resume where they stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction import model_of
from safetensors.torch import load_file, save_file

from circuits.errors import CircuitsError, Incompatible, UsageError
from circuits.training.checkpoint import NAME
from circuits.training.parallel import ALONE, Ranks, check_ranks, join
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Progress, Trainer

HERE = Path(__file__).parent
SETTINGS = Training(layers=(0, 1, 2), features=48, k=4, tokens=64 * 6, batch=64, auxiliary=4, dead_after=60)
KINDS = {
    "transcoder": SETTINGS,
    "skip": replace(SETTINGS, skip=True),
    "sae": replace(SETTINGS, kind="sae"),
    "clt": replace(SETTINGS, kind="clt"),
}


def trainer(settings: Training, place: Path | None, ranks: Ranks = ALONE) -> Trainer:
    tokens = Sequences(np.random.default_rng(0).integers(0, 60, (40, 9)), "some tokens")
    return Trainer(model_of("llama", torch.float32), tokens, settings, place, ranks=ranks)


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    """Everything a rank has trained, whole on the first."""
    found = [run.ranks.whole(w) for w in run.coders]
    return {f"{w.layer}.{n}": t for w in found for n, t in {**w.parameters(), "idle": w.idle}.items()}


def both(place: Path, job: str) -> None:
    """Runs this file in two processes, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    asked |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, job, str(place)],
            env={**os.environ, **asked, "RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=200) for process in started] == [0, 0]


def train(place: Path) -> None:
    """What each of the two processes does: whole runs, and the same stopped and resumed."""
    ranks = join()
    assert ranks.world == 2
    for kind, settings in KINDS.items():
        run = trainer(settings, None, ranks)
        assert len(run.coders[0].idle) == 24
        run.train()
        found, dictionary = weights(run), run.dictionary()
        for steps in (2, None):  # each time from the file alone
            part = trainer(settings, place / kind, ranks)
            part.train(steps=steps)
        again = weights(part)
        if ranks.first:
            assert all(torch.equal(found[name], again[name]) for name in found)
            found["encoded"] = dictionary.encode(1, torch.ones(3, 32)).activation
            save_file({n: t.contiguous().clone() for n, t in found.items()}, place / f"{kind}.safetensors")


def interrupt(place: Path) -> None:
    """The second rank is interrupted: neither hangs, and the last checkpoint stays."""
    ranks = join()
    run = trainer(SETTINGS, place, ranks)

    def listen(progress: Progress) -> None:
        if progress.step == 2 and not ranks.first:
            raise KeyboardInterrupt

    try:
        run.train(listen, every=0)
    except (KeyboardInterrupt, CircuitsError):
        return
    raise AssertionError("the run went on")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    both(place, "train")
    return place


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_what_one_trains(trained: Path, kind: str) -> None:
    alone = trainer(KINDS[kind], None)
    alone.train()
    found = load_file(trained / f"{kind}.safetensors")
    encoded = alone.dictionary().encode(1, torch.ones(3, 32)).activation
    torch.testing.assert_close(found.pop("encoded"), encoded, rtol=1e-3, atol=1e-4)
    expected = weights(alone)
    assert found.keys() == expected.keys()
    dead = [bool((t > SETTINGS.dead_after).any()) for n, t in expected.items() if n.endswith("idle")]
    assert any(dead) or kind == "sae"  # so AuxK took part
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_their_checkpoint_is_of_as_many(trained: Path) -> None:
    with pytest.raises(Incompatible, match=r"another run .*ranks None against 2"):
        trainer(SETTINGS, trained / "transcoder")
    held = load_file(trained / "transcoder" / NAME)
    assert held["1.encoder"].shape == (48, 32)
    assert held["optimiser.0.exp_avg"].shape == (48, 32)
    assert sorted(p.name for p in (trained / "transcoder").iterdir()) == [NAME]


def test_an_interrupted_rank_leaves_none_hanging(tmp_path: Path) -> None:
    both(tmp_path, "interrupt")
    assert (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "batchtopk"}, "2 ranks share topk only"),
        ({"activation": "jumprelu"}, "2 ranks share topk only"),
        ({"routed": (4, 1)}, "neither routed nor growing"),
        ({"growth": ((24, 0.5),)}, "neither routed nor growing"),
        ({"features": 49}, "49 features cannot be shared by 2 ranks"),
        ({"features": 8}, "more than k = 4"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_ranks(replace(SETTINGS, **change), Ranks(0, 2))
    check_ranks(replace(SETTINGS, **change), ALONE)


if __name__ == "__main__":
    {"train": train, "interrupt": interrupt}[sys.argv[1]](Path(sys.argv[2]))
