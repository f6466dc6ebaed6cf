"""Which interventions test an answer best, within a budget.

Groups of claims take turns, each giving its next until the budget is spent:

1. features and words, each off, by |effect| on the target under the graph, each kind in its turn;
2. combinations: the pairs (and triples) that the run says interact towards the output, together and
   apart; where it says nothing, the pairs of top nodes that the graph predicts to interact most;
3. the strongest path from a word: its source off and only the path responding; then each of its edges so,
   with only what follows on the path responding; then each of its features off;
4. concepts the graph has, each off as a whole;
5. controls: random features of small predicted effect, off: that something does nothing is a claim too;
6. top features doubled, so that not only switching off is tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import UsageError
from circuits.graph.actions import Intervention
from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.graph.run import Runner
from circuits.intervene.claims import DOUBLED, OFF, Claim, Plan, Together
from circuits.query.paths import top_paths
from circuits.query.subject import Subject
from circuits.schema import parse_feature

BUDGET: Final = 32
POOL: Final = 96
"""Nodes of most influence among which those of most effect are looked for."""
DRAWN: Final = 64
"""Random features among which controls are looked for."""
SMALL: Final = 0.01
"""Share of the largest effect below which a node is said to do next to nothing."""
PAIRED: Final = 8
"""Top nodes among which interacting pairs are looked for, where the run names none."""
PATHS: Final = 10

Bundle = tuple[Claim, ...]


def plan(graph: Graph, target: str | None = None, *, budget: int = BUDGET, seed: int = 0) -> Plan:
    """Gives the interventions that test what a graph says of one target.

    Args:
        graph: any graph.
        target: one of its targets, or a token as the targets spell it; the heaviest unless given.
        budget: interventions allowed; every one is run twice, frozen and free.
        seed: by which controls are drawn.

    Raises:
        NotFound: no such node.
        UsageError: the budget is below 1, the node is none of the graph's targets, or nothing flows
            into it.

    Example:
        >>> plan(graph, budget=8).claims[0].intervention.written()  # doctest: +SKIP
        ('2/577@8=0',)
    """
    if budget < 1:
        raise UsageError(f"A budget of {budget} interventions tests nothing: give 1 or more.")
    subject = Subject.of(graph, target)
    if subject.node not in graph.targets:
        raise UsageError(
            f"{subject.node} is none of this run's targets ({', '.join(graph.targets)}), so it is not"
            " measured: attribute with it as a target."
        )
    ranked = _Ranked.of(subject, seed)
    chosen = _Chosen(budget)
    groups: list[Iterable[Bundle]] = [
        ((_off(node),) for node in ranked.features),
        ((_off(node),) for node in ranked.top if node not in ranked.features),
        _combinations(subject, ranked),
        ((claim,) for claim in _path(subject)),
        ((_concept(one.name, one.nodes),) for one in known(graph) if subject.node not in one.nodes),
        ((_off(node),) for node in ranked.controls),
        ((_doubled(node),) for node in ranked.features),
    ]
    chosen.take_turns(groups)
    controls = frozenset(
        place for place, claim in enumerate(chosen.claims) if claim.members[0] in ranked.controls
    )
    return Plan(subject.node, tuple(chosen.claims), tuple(chosen.together), controls, budget, seed)


def effects(graph: Graph, target: str, nodes: Sequence[str]) -> Float[np.ndarray, "n"]:
    """Gives how much the target changes, under the graph, with each of the nodes off."""
    runner = Runner(graph, targets=[target], players=[[graph.row(node)] for node in nodes], batch=256)
    masks = np.concatenate([1 - np.eye(len(nodes)), np.ones((1, len(nodes)))])
    values = runner(masks)[:, 0].astype(np.float64)
    return np.asarray(values[:-1] - values[-1])


@dataclass(frozen=True)
class _Ranked:
    """Nodes by their effect on the target: the strongest first, and some that should do little."""

    top: tuple[str, ...]
    controls: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Gives the top nodes that are features."""
        return tuple(node for node in self.top if parse_feature(node))

    @classmethod
    def of(cls, subject: Subject, seed: int) -> _Ranked:
        table = subject.graph.nodes.filter(
            pl.col("kind").is_in(["feature", "token", "position"])
            & (pl.col("activation") != 0)
            & (pl.col("node") != subject.node)
        )
        strongest = table.sort("influence", descending=True, maintain_order=True).head(POOL)["node"].to_list()
        others = table.filter((pl.col("kind") == "feature") & ~pl.col("node").is_in(strongest))["node"]
        if not strongest:
            return cls((), ())
        drawn = np.random.default_rng(seed).permutation(len(others))[:DRAWN]
        names = [*strongest, *(others[int(i)] for i in drawn)]
        found = effects(subject.graph, subject.node, names)
        size = dict(zip(names, np.abs(found).tolist(), strict=True))
        top = sorted((n for n in names if size[n] > 0), key=lambda node: -size[node])
        small = SMALL * max(size.values())
        return cls(
            tuple(node for node in top if size[node] > small),
            tuple(node for node in names[len(strongest) :] if size[node] <= small),
        )


@dataclass
class _Chosen:
    """Claims chosen so far, each test once."""

    budget: int
    claims: list[Claim] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    places: dict[tuple[object, ...], int] = field(default_factory=dict)

    def take_turns(self, groups: Iterable[Iterable[Bundle]]) -> None:
        """Takes the next bundle of each group in turn, as far as the budget goes."""
        waiting = [iter(group) for group in groups]
        while waiting and len(self.claims) < self.budget:
            waiting = [group for group in waiting if self._take_next(group)]

    def _take_next(self, group: Iterable[Bundle]) -> bool:
        """Takes the group's next bundle that adds something and fits; tells whether there was one."""
        for bundle in group:
            new = [claim for claim in bundle if claim.key not in self.places]
            joint = self._joint(bundle)
            if len(self.claims) + len(new) > self.budget or not (new or joint):
                continue
            for claim in new:
                self.places[claim.key] = len(self.claims)
                self.claims.append(claim)
            if joint:
                self.together.append(self._signed(bundle))
            return True
        return False

    def _joint(self, bundle: Bundle) -> bool:
        members = [claim.members for claim in bundle]
        return len(bundle) > 1 and members[-1] not in [one.members for one in self.together]

    def _signed(self, bundle: Bundle) -> Together:
        """Gives the interaction of a bundle: all subsets of its last claim's members, the whole last."""
        order = len(bundle[-1].members)
        signs = [(-1) ** (order - len(claim.members)) for claim in bundle]
        places = [self.places[claim.key] for claim in bundle]
        return Together(bundle[-1].members, tuple(zip(places, signs, strict=True)))


def _off(node: str) -> Claim:
    return Claim("node", (node,), Intervention(f"{node} off", {node: OFF}))


def _doubled(node: str) -> Claim:
    return Claim("node", (node,), Intervention(f"{node} doubled", {node: DOUBLED}))


def _concept(name: str, nodes: Sequence[str]) -> Claim:
    return Claim("concept", (name,), Intervention(f"{name} off", dict.fromkeys(nodes, OFF)))


def _combinations(subject: Subject, ranked: _Ranked) -> Iterable[Bundle]:
    """Gives sets of members with all their subsets, those that interact most first."""
    graph = subject.graph
    concepts = {one.name: one.nodes for one in known(graph)}
    table = graph.hyperedges.filter(
        pl.col("via").is_null() & pl.col("weight").is_not_null(), channel="output", target=subject.node
    ).filter(pl.col("order").is_between(2, 3))
    if len(table):
        ordered = table.sort(pl.col("weight").abs(), descending=True, maintain_order=True)
        sets = [tuple(members) for members in ordered["members"]]
    else:
        sets = _pairs(subject, ranked.top[:PAIRED])
    for members in sets:
        nodes = {m: (m,) if m in graph.index else concepts.get(m, ()) for m in members}
        if all(nodes.values()):
            yield tuple(
                _off_together(subset, nodes)
                for size in range(1, len(members) + 1)
                for subset in itertools.combinations(members, size)
            )


def _off_together(subset: tuple[str, ...], nodes: dict[str, tuple[str, ...]]) -> Claim:
    if len(subset) == 1 and nodes[subset[0]] == subset:
        return _off(subset[0])
    if len(subset) == 1:
        return _concept(subset[0], nodes[subset[0]])
    done = {node: OFF for member in subset for node in nodes[member]}
    return Claim(
        "pair" if len(subset) == 2 else "set", subset, Intervention(f"{' & '.join(subset)} off", done)
    )


def _pairs(subject: Subject, nodes: Sequence[str]) -> list[tuple[str, ...]]:
    """Gives pairs of nodes by what they do only together: effect of both off, less those of each off."""
    if len(nodes) < 2:
        return []
    graph, pairs = subject.graph, list(itertools.combinations(range(len(nodes)), 2))
    masks = np.ones((len(pairs) + len(nodes) + 1, len(nodes)))
    for row, pair in enumerate(pairs):
        masks[row, list(pair)] = 0
    masks[len(pairs) : -1] -= np.eye(len(nodes))
    runner = Runner(graph, targets=[subject.node], players=[[graph.row(node)] for node in nodes], batch=256)
    values = runner(masks)[:, 0].astype(np.float64)
    effect = values - values[-1]
    single = effect[len(pairs) : -1]
    size = [abs(effect[row] - single[i] - single[j]) for row, (i, j) in enumerate(pairs)]
    return [(nodes[i], nodes[j]) for _, (i, j) in sorted(zip(size, pairs, strict=True), key=lambda p: -p[0])]


def _path(subject: Subject) -> list[Claim]:
    """Gives what the strongest path claims: the whole of it, its edges, its features."""
    paths = top_paths(subject.graph, subject.node, k=PATHS, shares=subject.shares)
    best = next((p for p in paths if p.nodes[0].startswith("tok@") and len(p.nodes) > 2), None)
    best = best or next(iter(paths), None)
    if best is None:
        return []
    steps = best.nodes[:-1]
    found = [
        Claim(
            "path" if i == 0 and len(steps) > 1 else "edge",
            steps if i == 0 and len(steps) > 1 else (node,),
            Intervention(f"{node} off", {node: OFF}),
            steps[i + 1 :],
        )
        for i, node in enumerate(steps)
    ]
    return [*found, *(_off(node) for node in steps[1:])]
