"""Which features of a graph belong together: found, tried on resamples, named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import NotFound, UsageError
from circuits.graph.concepts import Concept, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.influence import with_influence
from circuits.query.grouping.communities import Found, Progress, Resampling, found_at
from circuits.query.grouping.naming import names
from circuits.query.grouping.profiles import Profiles
from circuits.query.text import short
from circuits.shown import shown
from circuits.trace import Trace

if TYPE_CHECKING:
    from circuits.query.answer import Answer

STABLE: Final = 0.6
"""Stability from which a group is kept: below it, Hennig 2007 finds no pattern worth a name."""

CLOSE: Final = 0.05
"""Adjusted Rand index that finer groups may lose against the best and still be preferred."""

CERTAIN: Final = 0.5
"""A member that shares its group with the others in fewer resamples than this is uncertain."""


@dataclass(frozen=True)
class Evidence:
    """Why a group is one.

    Attributes:
        stability: mean largest Jaccard index with a group of each resample (Hennig 2007), 0 to 1.
        together: mean share of the resamples in which two of its members are in one group, 0 to 1.
        within: by kind of similarity, the mean over pairs of its members.
        between: the same over pairs of a member and a feature outside that was grouped too.
    """

    stability: float
    together: float
    within: Mapping[str, float]
    between: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of features, and how far each can be believed.

    Attributes:
        graph: what was grouped.
        concepts: the groups that hold, those with most influence first; they share no node.
        unstable: groups that were found and do not hold: left ungrouped.
        evidence: by the name of a group, why it is one.
        uncertain: members of `concepts` that could as well belong elsewhere: `node`, `concept`,
            `together` (with the others of the group), `elsewhere` (with those of `other`), `other`.
        settings: what was asked for and chosen; JSON-compatible.
    """

    graph: Graph
    concepts: tuple[Concept, ...]
    unstable: tuple[Concept, ...]
    evidence: Mapping[str, Evidence]
    uncertain: pl.DataFrame
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def applied(self) -> Graph:
        """Gives the graph with the groups for concepts, and their evidence in `meta`."""
        return kept(self.graph, self.concepts, self.evidence).with_meta(grouping=dict(self.settings))

    def answer(self) -> Answer:
        """Gives which concepts there are, in words and tables."""
        from circuits.query.grouping.answer import answered

        return answered(self)

    def __repr__(self) -> str:
        held = ", ".join(f"{short(shown(one.name), 40)} ({len(one)})" for one in self.concepts[:3])
        held += ", …" if len(self.concepts) > 3 else ""
        return f"Grouping({len(self.concepts)} groups that hold: {held}; {len(self.unstable)} that do not)"


def group(
    graph: Graph,
    trace: Trace | None = None,
    *,
    share: float = 0.9,
    stable: float = STABLE,
    settings: Resampling | None = None,
    progress: Progress | None = None,
) -> Grouping:
    """Gives the features that belong together.

    The features that carry a share of the influence are compared in pairs, each kind 0 to 1:

    - inputs: the cosine of what they read, signed shares of all that flows into each;
    - outputs: the cosine of what they write, signed shares of what flows into each receiver times the
      share of the targets that passes through it;
    - decoder: the cosine of their write vectors, where a trace is given;
    - position: 1 at one token or at one word said twice, ½ at neighbours, else 0.

    Each is joined to the most alike, by the weighted mean; groups are the communities of largest modularity
    (Louvain). All is done again on resamples: a fifth of the features left out, the graph's edges drawn
    with replacement. Of several resolutions the finest is taken with whose groups the resamples agree
    as well as with any (adjusted Rand index, 0 by chance, at most `CLOSE` less), and of its groups those
    are kept whose stability is at least `stable`. The order of the graph's rows changes nothing.

    Args:
        graph: an attribution graph, best unpruned.
        trace: the trace it was made from, for decoders.
        share: of the features' summed influence; those that carry it are grouped, at most
            `settings.most`, the others left alone.
        stable: least stability of a group that is kept, 0 to 1.
        settings: neighbours, resamples, seed and more.
        progress: called with (phase, done, total).

    Raises:
        UsageError: a share is not between 0 and 1.
        NotFound: fewer than 3 features have influence.
        Incompatible: the trace lacks a feature of the graph.

    Example:
        >>> print(group(graph).answer())  # doctest: +SKIP
    """
    for name, value in (("share", share), ("stable", stable)):
        if not 0 <= value <= 1:
            raise UsageError(f"{name} {value} is not a share: give a number between 0 and 1.")
    wanted = settings or Resampling()
    scored = with_influence(graph) if graph.nodes["influence"].null_count() else graph
    chosen, reached = candidates(scored, share, wanted.most)
    profiles = Profiles.of(scored, chosen, trace)
    tried = found_at(profiles, wanted, progress)
    best = chosen_of(tried)
    alike = profiles.similarities()
    parts = [np.flatnonzero(best.labels == number) for number in range(len(best.stability))]
    size = scored.nodes["influence"].to_numpy()[[scored.row(node) for node in profiles.nodes]]
    order = [n for n in np.argsort([-size[part].sum() for part in parts], kind="stable") if len(parts[n]) > 1]
    ordered = [tuple(profiles.nodes[row] for row in parts[n]) for n in order]
    called = names(scored, ordered)
    evidence = {
        name: _evidence(best, alike, parts[n], float(best.stability[n]))
        for name, n in zip(called, order, strict=True)
    }
    made = [
        Concept(name, tuple(sorted(nodes, key=scored.row)))
        for name, nodes in zip(called, ordered, strict=True)
    ]
    holds = [one for one in made if evidence[one.name].stability >= stable]
    return Grouping(
        scored,
        tuple(holds),
        tuple(one for one in made if one not in holds),
        evidence,
        _uncertain(best, profiles.nodes, made, holds),
        {
            **{name: getattr(wanted, name) for name in ("neighbours", "resamples", "seed", "most")},
            "weights": {kind: wanted.weights[kind] for kind in alike},
            "share": share,
            "reached": reached,
            "features": len(chosen),
            "stable": stable,
            "resolution": best.resolution,
            "agreement": best.agreement,
            "tried": {str(one.resolution): one.agreement for one in tried},
        },
    )


def chosen_of(tried: Sequence[Found]) -> Found:
    """Gives the finest groups with which the resamples agree nearly as well (`CLOSE`) as with any.

    What divides nothing, all in one group or each alone, is taken only where there is nothing else.
    """
    several = [one for one in tried if 1 < len(one.stability) < len(one.labels)] or list(tried)
    most = max(one.agreement for one in several)
    return max((one for one in several if one.agreement >= most - CLOSE), key=lambda one: one.resolution)


def candidates(graph: Graph, share: float, most: int) -> tuple[list[str], float]:
    """Gives the features that carry a share of the features' summed influence, and the share they carry.

    Ties are broken by name. Targets are left out.

    Raises:
        NotFound: fewer than 3 have influence.
    """
    table = graph.nodes.filter(
        (pl.col("kind") == "feature") & (pl.col("influence") > 0) & (pl.col("target_weight") == 0)
    )
    if len(table) < 3:
        raise NotFound(f"{len(table)} features of this graph have influence: there is nothing to group.")
    ranked = table.select("node", pl.col("influence").round(12)).sort(
        "influence", "node", descending=[True, False]
    )
    gathered = np.cumsum(ranked["influence"].to_numpy())
    count = int(np.searchsorted(gathered, share * gathered[-1] * (1 - 1e-12))) + 1
    count = min(max(count, 3), most, len(ranked))
    return ranked["node"].to_list()[:count], float(gathered[count - 1] / gathered[-1])


def kept(graph: Graph, concepts: Sequence[Concept], evidence: Mapping[str, Evidence] | None = None) -> Graph:
    """Gives the graph with these concepts, and in `meta` who made each (auto, hand) and by what evidence.

    Concepts that the new ones replace, as `with_concepts` says, are forgotten there too.

    Args:
        graph: any graph.
        concepts: what is added.
        evidence: of concepts that were found; those without are given by hand.
    """
    made = with_concepts(graph, concepts)
    given = evidence or {}
    new = {
        one.name: {"by": "auto", **asdict(given[one.name])} if one.name in given else {"by": "hand"}
        for one in concepts
    }
    return made.with_meta(concepts=origins(made) | new)


def origins(graph: Graph) -> dict[str, dict[str, Any]]:
    """Gives, by concept of the graph, who made it (`by`) and by what evidence (the fields of `Evidence`)."""
    told = graph.meta.get("concepts") or {}
    names_ = graph.nodes["concept"].drop_nulls().unique(maintain_order=True).to_list()
    return {name: dict(told.get(name) or {"by": "hand"}) for name in names_}


def likeness(
    alike: Mapping[str, Float[np.ndarray, "k k"]], part: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Gives the mean similarity of pairs inside a group, and of pairs of a member and another, by kind."""
    outside = np.setdiff1d(np.arange(len(next(iter(alike.values())))), part)
    pairs = len(part) * (len(part) - 1)
    within = {
        kind: float((values[np.ix_(part, part)].sum() - len(part)) / pairs) if pairs else 1.0
        for kind, values in alike.items()
    }
    between = {
        kind: float(values[np.ix_(part, outside)].mean()) if len(outside) else 0.0
        for kind, values in alike.items()
    }
    return within, between


def _evidence(
    found: Found, alike: Mapping[str, Float[np.ndarray, "k k"]], part: np.ndarray, stability: float
) -> Evidence:
    pairs = len(part) * (len(part) - 1)
    together = float((found.together[np.ix_(part, part)].sum() - len(part)) / pairs) if pairs else 1.0
    return Evidence(stability, together, *likeness(alike, part))


def _uncertain(
    found: Found, nodes: Sequence[str], made: Sequence[Concept], holds: Sequence[Concept]
) -> pl.DataFrame:
    """Gives the members that share their group seldom, or another's more often."""
    place = {node: row for row, node in enumerate(nodes)}
    rows = []
    for one in holds:
        for node in one.nodes:
            shared = {
                other.name: float(
                    np.mean([found.together[place[node], place[n]] for n in other.nodes if n != node])
                )
                for other in made
            }
            own = shared.pop(one.name)
            other = max(shared, key=lambda name: shared[name], default=None)
            elsewhere = shared[other] if other is not None else 0.0
            if own < CERTAIN or elsewhere > own:
                rows.append((node, one.name, own, elsewhere, other))
    schema = {"node": pl.String, "concept": pl.String, "together": pl.Float64}
    schema |= {"elsewhere": pl.Float64, "other": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("together", maintain_order=True)
