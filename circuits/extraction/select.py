"""Which features become nodes of the graph. What is not chosen goes into the error nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from circuits.dictionaries.base import Encoding
from circuits.errors import UsageError
from circuits.extraction.fold import Frozen
from circuits.extraction.propagate import Step, active_ids, attributions
from circuits.extraction.targets import Aim
from circuits.schema import parse_feature

Chooser = Callable[[int, Encoding], Bool[Tensor, "n m"]]
"""Says which features of a layer, given their encoding, are kept. Only active ones ever are."""


@runtime_checkable
class Selection(Protocol):
    """A rule for choosing features; a frozen record of its settings."""

    def chooser(self, frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Chooser:
        """Gives the choice for one prompt."""
        ...


@dataclass(frozen=True)
class AllActive:
    """Every feature whose activation is not 0."""

    def chooser(self, frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Chooser:  # noqa: ARG002
        """Gives the choice for one prompt."""
        return lambda _, encoding: encoding.activation != 0


@dataclass(frozen=True)
class NormShare:
    """At every layer and position the fewest features that make up a share of what is written.

    With c_i = |a_i| · ‖w_i‖, w_i as it enters the residual stream (root of the summed squares over the
    layers it writes to), the k largest c_i are kept, k the least with Σ kept c_i ≥ share · Σ c_i.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"Share {self.share} is not a share: give a number in (0, 1].")

    def chooser(self, frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Chooser:  # noqa: ARG002
        """Gives the choice for one prompt."""
        return lambda layer, encoding: self._choose(frozen, layer, encoding)

    def _choose(self, frozen: Frozen, layer: int, encoding: Encoding) -> Bool[Tensor, "n m"]:
        ids = active_ids(encoding)
        squares = encoding.activation.new_zeros(frozen.n_positions, len(ids))
        for term in frozen.dictionary.write_terms(layer, frozen.inputs(layer)):
            frame = frozen.write_frame(term.layer)
            scale = frame.scale if term.coefficient is None else frame.scale * term.coefficient
            squares += frame.push(term.rows.take(ids)).square().sum(dim=1) * scale[:, None].square()
        size = encoding.activation[:, ids].abs() * squares.sqrt()
        ordered = size.sort(dim=1, descending=True)
        before = ordered.values.double().cumsum(dim=1) - ordered.values.double()
        total = ordered.values.double().sum(dim=1, keepdim=True)
        enough = (before < self.share * total) & (ordered.values > 0)
        chosen = torch.zeros_like(encoding.activation, dtype=torch.bool)
        chosen[:, ids] = torch.zeros_like(enough).scatter(1, ordered.indices, enough)
        return chosen


@dataclass(frozen=True)
class ByAttribution:
    """The features that matter most to the targets, at most `most` over all layers and positions.

    Ranked by Σ_t weight_t · |attribution of i to t|, along all paths of the frozen model with every
    active feature in it (see `circuits.extraction.propagate`). Features of attribution 0 are not kept.
    """

    most: int = 4000

    def __post_init__(self) -> None:
        if self.most < 1:
            raise UsageError(f"At most {self.most} features leaves nothing to choose: give 1 or more.")

    def chooser(self, frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Chooser:
        """Gives the choice for one prompt, after one sweep down the layers."""
        best = torch.empty(0, dtype=frozen.forward.final.dtype, device=frozen.forward.final.device)
        keys = torch.empty(0, 3, dtype=torch.long, device=best.device)
        for found in attributions(frozen, aims, step):
            size = found.size.flatten()
            top = torch.topk(size, min(self.most, len(size)))
            places = torch.stack(
                [
                    torch.full_like(top.indices, found.layer),
                    top.indices // max(1, len(found.ids)),
                    found.ids[top.indices % max(1, len(found.ids))],
                ],
                dim=1,
            )
            best, keys = torch.cat([best, top.values]), torch.cat([keys, places])
            order = torch.topk(best, min(self.most, len(best))).indices
            best, keys = best[order], keys[order]
        keys = keys[best > 0]

        def choose(layer: int, encoding: Encoding) -> Bool[Tensor, "n m"]:
            chosen = torch.zeros_like(encoding.activation, dtype=torch.bool)
            here = keys[keys[:, 0] == layer]
            chosen[here[:, 1], here[:, 2]] = True
            return chosen

        return choose


@dataclass(frozen=True)
class Named:
    """Exactly the features named, as far as they are active."""

    features: tuple[str, ...]

    def chooser(self, frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Chooser:  # noqa: ARG002
        """Gives the choice for one prompt."""
        places: dict[int, list[tuple[int, int]]] = {}
        for name in self.features:
            if place := parse_feature(name):
                places.setdefault(place[0], []).append((place[2], place[1]))

        def choose(layer: int, encoding: Encoding) -> Bool[Tensor, "n m"]:
            chosen = torch.zeros_like(encoding.activation, dtype=torch.bool)
            if here := places.get(layer):
                position, feature = torch.tensor(here, device=chosen.device).T
                chosen[position, feature] = True
            return chosen & (encoding.activation != 0)

        return choose
