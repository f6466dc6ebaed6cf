"""What decides how a dictionary is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal, get_args

from circuits.dictionaries.base import ReadSite, WriteSite
from circuits.dictionaries.coders import CoderKind
from circuits.errors import UsageError
from circuits.models.sites import SITES, Place

ActivationName = Literal["topk", "batchtopk", "jumprelu"]


@dataclass(frozen=True)
class Training:
    """Settings of one run; two runs with equal settings, model and tokens give equal weights.

    Attributes:
        kind: "transcoder", "clt" or "sae".
        layers: the layers to train, ascending; a CLT needs all of the model's.
        features: per layer.
        k: active features a token; of a JumpReLU what its threshold penalty aims at.
        activation: "topk" (Gao et al. 2024), "batchtopk" (Bussmann et al. 2024; saved as thresholds),
            or "jumprelu" (Rajamanoharan et al. 2024; dense, slower).
        site: of an SAE, where it reads and writes; transcoders read `mlp_in` and write `mlp_out`.
        skip: give transcoders a skip connection (Paulo et al. 2025).
        tokens: seen in all.
        batch: tokens a step.
        rate: the largest learning rate; None takes 2e-3 · sqrt(1024 / features) (Gao et al. find the best
            rate to fall with the root of the features), of the features there are at a step.
        warmup: share of the steps in which it rises; over the last fifth it falls to 0.
        auxiliary: dead features that learn what the others leave, per token (AuxK, Gao et al. 2024).
        dead_after: a feature is dead after this many tokens without being active.
        routed: None, or (groups, searched): the features are in so many groups, and each token searches so
            many of them (`circuits.training.routed`).
        growth: stages (features, share): so many features until that share of the steps, then more
            (`circuits.training.growth`); after the last stage there are `features`.
        precision: "bfloat16" selects features in bfloat16 and computes with them in float32.
        seed: of weights and order.
    """

    kind: CoderKind = "transcoder"
    layers: tuple[int, ...] = (0,)
    features: int = 2048
    k: int = 32
    activation: ActivationName = "topk"
    site: WriteSite = "block_out"
    skip: bool = False
    tokens: int = 2_000_000
    batch: int = 2048
    rate: float | None = None
    warmup: float = 0.02
    auxiliary: int = 32
    dead_after: int = 200_000
    routed: tuple[int, int] | None = None
    growth: tuple[tuple[int, float], ...] = ()
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("features", "tokens", "batch", "dead_after"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: give 1 or more.")
        if not 0 < self.k < self.features:
            raise UsageError(f"k is {self.k} of {self.features} features: give 1 to {self.features - 1}.")
        if not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0:
            raise UsageError(f"Layers {list(self.layers)} are no ascending list of layers.")
        if self.activation not in get_args(ActivationName):
            raise UsageError(f"No activation {self.activation!r}: known are topk, batchtopk, jumprelu.")
        if self.site not in SITES or self.site in ("mlp_in", "mlp_in_no_gain", "residual"):
            raise UsageError(f"An SAE cannot sit at {self.site!r}: give mlp_out, mlp_added or block_out.")
        if self.skip and self.kind != "transcoder":
            raise UsageError(f"A skip connection needs a transcoder, not kind {self.kind}.")
        if self.kind == "clt" and self.activation == "jumprelu":
            raise UsageError("A CLT is trained with topk or batchtopk.")
        if self.rate is not None and not 0 < self.rate < 1:
            raise UsageError(f"A learning rate of {self.rate} is out of range: give one between 0 and 1.")
        if self.routed is not None:
            self._check_routed(*self.routed)
        if self.growth:
            self._check_growth()

    def _check_routed(self, groups: int, searched: int) -> None:
        if not 1 <= searched < groups:
            raise UsageError(f"{searched} of {groups} groups a token: give 1 to {groups - 1}.")
        if self.features % groups or self.features // groups <= self.k:
            raise UsageError(
                f"{self.features} features in {groups} groups: give a number of groups that divides them"
                f" and leaves more than k = {self.k} in each."
            )
        if self.activation != "topk" or self.precision != "float32" or self.growth:
            raise UsageError("Routed training takes topk in float32 and no growth: leave the others out.")

    def _check_growth(self) -> None:
        if self.activation == "jumprelu":
            raise UsageError("Growth takes topk or batchtopk, not jumprelu: choose one of them.")
        sizes = [self.k, *(features for features, _ in self.growth), self.features]
        shares = [0.0, *(share for _, share in self.growth), 1.0]
        if any(one >= other for part in (sizes, shares) for one, other in pairwise(part)):
            told = ", ".join(f"{features} until {share:g} of the steps" for features, share in self.growth)
            raise UsageError(
                f"Growth {told}: features must rise from more than k = {self.k} to less than"
                f" {self.features}, shares from above 0 to below 1."
            )

    def features_at(self, step: int) -> int:
        """Gives how many features step number `step`, counted from 0, is taken with."""
        stages = (features for features, share in self.growth if step < round(share * self.steps))
        return next(stages, self.features)

    @property
    def steps(self) -> int:
        """Gives the number of steps."""
        return max(1, self.tokens // self.batch)

    @property
    def read_site(self) -> ReadSite:
        """Gives where features read."""
        return self.site if self.kind == "sae" else "mlp_in"

    @property
    def write_site(self) -> WriteSite:
        """Gives where features write."""
        return self.site if self.kind == "sae" else "mlp_out"

    @property
    def places(self) -> tuple[Place, ...]:
        """Gives the layers and sites whose activations are needed, each once."""
        sites = (self.read_site, self.write_site)
        return tuple(dict.fromkeys((layer, site) for layer in self.layers for site in sites))

    def rate_at(self, step: int) -> float:
        """Gives the learning rate of a step: it rises, stays, and falls over the last fifth."""
        top = self.rate or 2e-3 * math.sqrt(1024 / self.features_at(step))
        rise = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
        return top * rise * min(1.0, (self.steps - step) / max(1.0, 0.2 * self.steps))

    def as_json(self) -> dict[str, Any]:
        """Gives the settings as JSON holds them."""
        return {**vars(self), "layers": list(self.layers)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> Sequence[str]:
    """Gives in words where two records of settings differ."""
    names = sorted(set(one) | set(other) | {field.name for field in fields(Training)})
    return [f"{n} {one.get(n)} against {other.get(n)}" for n in names if one.get(n) != other.get(n)]
