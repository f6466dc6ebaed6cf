"""Our side of `dictionary_scaling.py`: one step's speed, and what is learned within some CPU seconds.

A measured training is `Trainer`'s: the same weights, step, schedule and growth; only its place on the
schedule is the share of the CPU time that is used, not of the steps. It counts routers and growth as work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from circuits.training.coder import Weights, encode, initial, outputs, project, renormalise, step
from circuits.training.growth import grow
from circuits.training.routed import fit_router
from circuits.training.settings import Training

GROUP = 2
"""Features of a group, in widths; a token searches one group."""

SMALL = 8
"""What a grown dictionary begins with, in widths, for half of the time."""

SCHEDULE = 1000


@dataclass(frozen=True)
class Mode:
    """One way to train.

    Attributes:
        name: "dense", "dense, bfloat16", "routed" or "grown".
        expansion: features, in widths.
    """

    name: str
    expansion: int

    def settings(self, width: int, k: int, batch: int) -> Training:
        """Gives what the trainer is told."""
        features = self.expansion * width
        common = Training(kind="sae", features=features, k=k, batch=batch, tokens=batch * SCHEDULE)
        if self.name == "routed":
            return replace(common, routed=(self.expansion // GROUP, 1))
        if self.name == "grown":
            return replace(common, growth=((SMALL * width, 0.5),))
        return replace(common, precision="bfloat16" if "bfloat16" in self.name else "float32")


class Run:
    """A training, step by step."""

    def __init__(self, settings: Training, sample: Tensor) -> None:
        self.settings = settings
        self.weights: Weights = initial(settings, 0, sample.shape[1], 1)
        if settings.routed is not None:
            fit_router(self.weights, sample, settings)
        parameters = list(self.weights.parameters().values())
        self.optimiser = torch.optim.Adam(parameters, lr=1e-3, betas=(0.9, 0.99), fused=True)

    def step(self, x: Tensor, place: int = SCHEDULE // 2) -> None:
        """Takes one step at a place of the schedule."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate_at(place)
        step([self.weights], [x], [x], self.settings)
        project(self.weights)
        self.optimiser.step()
        renormalise(self.weights)


def speed(mode: Mode, asked: dict[str, Any]) -> dict[str, Any]:
    """Gives tokens per core-second of a step, and of its encoder's float32 product alone."""
    width, batch = asked["width"], asked["batch"]
    torch.manual_seed(0)
    x = torch.randn(batch, width)
    run = Run(mode.settings(width, asked["k"], batch), x)
    w = run.weights

    def product() -> None:
        for part in torch.split(x, 256):
            torch.addmm(w.encoder_bias, part, w.encoder.T)

    seconds = _median(lambda: run.step(x), asked["repeats"])
    found = {"mode": mode.name, "expansion": mode.expansion, "tokens_per_core_second": batch / seconds}
    if mode.name == "routed":
        return found
    chosen = _median(lambda: encode(w, x, run.settings), asked["repeats"])
    limit = _median(product, asked["repeats"])
    return {**found, "limit": batch / limit, "share_of_limit": limit / seconds, "selecting": chosen / seconds}


def _median(action: Callable[[], object], repeats: int) -> float:
    """Gives the median CPU time of an action, after one to warm up."""
    action()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        action()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def quality(mode: Mode, data: Tensor, held: Tensor, asked: dict[str, Any]) -> dict[str, Any]:
    """Gives the share of held-out variance left unexplained after the CPU seconds asked for."""
    batch = asked["batch"]
    settings = mode.settings(data.shape[1], asked["k"], batch)
    began, at, seen = time.process_time(), 0, 0
    run = Run(settings, data[: 8 * batch])
    while (used := (time.process_time() - began) / asked["seconds"]) < 1:
        place = int(used * SCHEDULE)
        if settings.features_at(place) > len(run.weights.idle):
            last = [data[max(0, at - 8 * batch) : at]]
            grow([run.weights], run.optimiser, (last, last), settings, place)
        if at + batch > len(data):
            at = 0
        run.step(data[at : at + batch], place)
        at, seen = at + batch, seen + batch
    found = {"mode": mode.name, "expansion": mode.expansion, "tokens": seen}
    found["fvu"] = unexplained(run.weights, held, settings)
    if mode.name == "routed":
        plain = replace(run.weights, router=None, router_bias=None)
        found["fvu_without_router"] = unexplained(plain, held, replace(settings, routed=None))
    return found


def unexplained(w: Weights, held: Tensor, settings: Training) -> float:
    """Gives Σ|x - x̂|² / Σ|x - mean|²."""
    rest = sum(float((outputs([w], [x], settings)[0][0] - x).square().sum()) for x in torch.split(held, 1024))
    return rest / float((held - held.mean(0)).square().sum())
