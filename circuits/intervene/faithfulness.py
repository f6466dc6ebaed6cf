"""How much of the answer a circuit carries by itself, and how much is left without it, by its size.

M is every node of the kinds an `Ablation` names (the features of the run unless said otherwise). A circuit
C is a part of M. What is outside C is switched off: set to 0, or to the value the ablation gives for it.
What is no part of M (errors and tokens, unless they are named) stays as the model makes it. With m the
target's value, measured::

    m(C) = with M∖C off        m(M) = with nothing done        m(∅) = with all of M off
    f(C) = (m(C) − m(∅)) / (m(M) − m(∅))                       faithfulness
    f(M∖C) = (m(M∖C) − m(∅)) / (m(M) − m(∅))                   completeness, 0 where C is all that matters

f(M) = 1 and f(∅) = 0 (Wang et al. 2022; Marks et al. 2024). Over nested circuits, the first nodes of a
ranking, two areas are taken as in MIB (Mueller et al. 2025): CPR, under f(C), and CMD, between f(C) and 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import NotFound, UsageError
from circuits.graph.actions import Intervention, setting
from circuits.graph.graph import Graph
from circuits.intervene.hold import FREE, Hold
from circuits.intervene.measuring import Measuring, Progress

SHARES: Final = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's sizes of circuits, as shares of M, and the empty circuit."""

ABLATABLE: Final = ("feature", "error", "token", "position")
"""Kinds of nodes that may be part of M."""


@dataclass(frozen=True)
class Ablation:
    """What is switched off outside a circuit, and what that means.

    Attributes:
        kinds: the kinds of nodes that make up M; all other nodes stay.
        values: the activation a node takes when it is off (features: in the dictionary's units; errors
            and tokens: as a multiple of what they are); 0 for nodes not named.
        name: how tables call it: "zero", "mean", "resample".
        hold: what is held still in the model while measuring.
    """

    kinds: tuple[str, ...] = ("feature",)
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    name: str = "zero"
    hold: Hold = FREE

    def __post_init__(self) -> None:
        other = [kind for kind in self.kinds if kind not in ABLATABLE]
        if other or not self.kinds:
            raise UsageError(
                f"{', '.join(other) or 'No kind'} cannot be off: name some of {', '.join(ABLATABLE)}."
            )

    def members(self, graph: Graph) -> list[str]:
        """Gives M: the graph's nodes of these kinds, its targets aside."""
        table = graph.nodes.filter(pl.col("kind").cast(pl.String).is_in(self.kinds))
        return table.filter(~pl.col("node").is_in(graph.targets))["node"].to_list()

    def off(self, nodes: Sequence[str], name: str) -> Intervention:
        """Gives the intervention that switches nodes off."""
        return Intervention(name, setting({node: self.values.get(node, 0.0) for node in nodes}))


class Areas(NamedTuple):
    """MIB's two areas: `cpr` (circuit performance ratio), `cmd` (circuit-model distance, best 0)."""

    cpr: float
    cmd: float


@dataclass(frozen=True, eq=False)
class Curve:
    """Faithfulness and completeness of nested circuits by one ranking.

    Attributes:
        target: whose value m is.
        ablation: what was off outside the circuits, and how.
        members: |M|.
        shares: sizes as shares of M, as they were asked for.
        sizes: nodes of each circuit: ⌊share · |M|⌋, as MIB counts.
        whole: m(M).
        empty: m(∅).
        circuit: m(C) of each size.
        remainder: m(M∖C) of each size.
    """

    target: str
    ablation: Ablation
    members: int
    shares: tuple[float, ...]
    sizes: Int[np.ndarray, "k"]
    whole: float
    empty: float
    circuit: Float[np.ndarray, "k"]
    remainder: Float[np.ndarray, "k"]

    @property
    def faithfulness(self) -> Float[np.ndarray, "k"]:
        """Gives f(C); NaN where all of M off changes nothing, so that there is nothing to carry."""
        return self._share(self.circuit)

    @property
    def completeness(self) -> Float[np.ndarray, "k"]:
        """Gives f(M∖C); NaN as for faithfulness."""
        return self._share(self.remainder)

    @property
    def areas(self) -> Areas:
        """Gives CPR and CMD of the faithfulness curve."""
        return areas(self.shares, self.faithfulness)

    def table(self) -> pl.DataFrame:
        """Gives one row a circuit: share, size, m(C), m(M∖C), faithfulness, completeness."""
        return pl.DataFrame(
            {
                "share": list(self.shares),
                "size": self.sizes,
                "circuit": self.circuit,
                "remainder": self.remainder,
                "faithfulness": self.faithfulness,
                "completeness": self.completeness,
            }
        )

    def _share(self, values: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
        span = self.whole - self.empty
        return (values - self.empty) / span if span else np.full(len(values), np.nan)


def faithfulness(
    session: Measuring,
    rankings: Mapping[str, Sequence[str]],
    target: str | None = None,
    *,
    shares: Sequence[float] = SHARES,
    ablation: Ablation = Ablation(),
    progress: Progress | None = None,
) -> dict[str, Curve]:
    """Gives, for each ranking, the curves of the circuits that its first nodes make up.

    Args:
        session: measures.
        rankings: by name, nodes of M, the best first, none twice. Nodes of M that a ranking lacks are
            in none of its circuits but M itself.
        target: whose value m is; the graph's heaviest target unless given.
        shares: sizes of circuits as shares of M, rising.
        ablation: what M is and what is off outside a circuit.
        progress: told of what is measured.

    Raises:
        UsageError: a ranking names a node twice or one outside M; shares do not rise within 0..1; the
            graph has no target, or M is empty.
        NotFound: the target is none of the graph's.

    Example:
        >>> faithfulness(session, {"influence": nodes})["influence"].areas.cpr  # doctest: +SKIP
    """
    graph = session.graph
    members = ablation.members(graph)
    _check(members, rankings, shares)
    sizes = np.floor(np.asarray(shares, np.float64) * len(members) + 1e-9).astype(np.int64)
    off = _Off(ablation, members)
    wanted = {name: [off.pair(ranking, int(n)) for n in sizes] for name, ranking in rankings.items()}
    empty = off.add(frozenset(members))
    outcome = session.run(off.interventions, ablation.hold, progress=progress)
    column = _column(outcome.targets, graph, target)
    values = np.append(outcome.values[:, column], outcome.before[column]).astype(np.float64)
    return {
        name: Curve(
            target=outcome.targets[column],
            ablation=ablation,
            members=len(members),
            shares=tuple(float(share) for share in shares),
            sizes=sizes,
            whole=float(values[-1]),
            empty=float(values[empty]),
            circuit=values[[inside for inside, _ in pairs]],
            remainder=values[[outside for _, outside in pairs]],
        )
        for name, pairs in wanted.items()
    }


def areas(shares: Sequence[float], faithful: Float[np.ndarray, "k"]) -> Areas:
    """Gives the areas under f and between f and 1, over the size of circuits as a share of M.

    As MIB's own code has it: trapezoids on a linear axis, from the smallest circuit that is not empty to
    all of M::

        CPR = Σᵢ (sᵢ₊₁ − sᵢ) · (fᵢ + fᵢ₊₁) / 2        CMD = Σᵢ (sᵢ₊₁ − sᵢ) · (|1 − fᵢ| + |1 − fᵢ₊₁|) / 2

    Example:
        >>> areas((0.0, 0.5, 1.0), np.array([0.0, 0.75, 1.0]))
        Areas(cpr=0.4375, cmd=0.0625)
    """
    kept = np.asarray(shares) > 0
    at, f = np.asarray(shares, np.float64)[kept], np.asarray(faithful, np.float64)[kept]
    parts = (f, np.abs(1 - f))
    return Areas(*(float(np.trapezoid(part, at)) for part in parts))


@dataclass
class _Off:
    """Interventions asked for so far, each set of nodes once; −1 stands for nothing done."""

    ablation: Ablation
    members: Sequence[str]
    interventions: list[Intervention] = field(default_factory=list)
    known: dict[frozenset[str], int] = field(default_factory=lambda: {frozenset(): -1})

    def add(self, nodes: frozenset[str]) -> int:
        if nodes not in self.known:
            self.known[nodes] = len(self.interventions)
            listed = [node for node in self.members if node in nodes]
            self.interventions.append(self.ablation.off(listed, f"{len(listed)} off"))
        return self.known[nodes]

    def pair(self, ranking: Sequence[str], size: int) -> tuple[int, int]:
        """Gives where the circuit of a size, and the rest without it, are measured."""
        inside = frozenset(self.members if size >= len(self.members) else ranking[:size])
        return self.add(frozenset(self.members) - inside), self.add(inside)


def _check(members: Sequence[str], rankings: Mapping[str, Sequence[str]], shares: Sequence[float]) -> None:
    if not members:
        raise UsageError("There is nothing to switch off: the graph has no node of the kinds named.")
    rising = all(a < b for a, b in itertools.pairwise(shares))
    if not shares or not rising or shares[0] < 0 or shares[-1] > 1:
        raise UsageError(f"Shares {', '.join(map(str, shares))} do not rise from 0 to at most 1.")
    for name, ranking in rankings.items():
        outside = sorted(set(ranking) - set(members))
        if outside:
            raise UsageError(
                f"Ranking {name} names {outside[0]}, which is none of the {len(members)} nodes that can be"
                " off here: rank nodes of the kinds named."
            )
        if len(set(ranking)) < len(ranking):
            twice = next(node for i, node in enumerate(ranking) if node in ranking[:i])
            raise UsageError(f"Ranking {name} names {twice} twice.")


def _column(targets: Sequence[str], graph: Graph, target: str | None) -> int:
    if target is None and not graph.targets:
        raise UsageError("This graph has no target: name the node whose value is measured.")
    name = graph.targets[0] if target is None else target
    if name not in targets:
        raise NotFound(f"{name} was not measured, only {', '.join(targets)}.")
    return list(targets).index(name)
