"""A smallest set that suffices for an output, or is necessary to it, with a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.actions import ablate
from circuits.graph.concepts import Concept, concepts
from circuits.graph.graph import Graph
from circuits.graph.names import resolve
from circuits.graph.run import Runner
from circuits.query.answer import Answer, Prediction
from circuits.query.ends import meant_target
from circuits.query.minimal_search import Game, Smallest, smallest
from circuits.query.minimal_text import CAPTIONS, sentences
from circuits.query.subject import Subject, induced, made_of
from circuits.query.text import Naming, python

KINDS: Final = ("sufficient", "necessary")

SHARE: Final = 0.8
"""Share of the effect that a set must keep, or take away, unless said otherwise."""


STILL: Final = 1e-7
"""Effects below this share of what flows into the target are rounding."""


def minimal(
    graph: Graph,
    target: str | Concept | None = None,
    *,
    share: float = SHARE,
    kind: str = "sufficient",
    among: Sequence[str | Concept] | None = None,
) -> Answer:
    """Gives a smallest set that suffices for a share of an output, or without which that share is lost.

    Players are all features and errors some path leads from to the target, each its own (or the
    concepts given); words, positions and constants stay on, and so does what is no player. With
    v(C) the target's value under `graph.run` when of the players only C stays on::

        sufficient: (v(C) − v(∅)) / (v(all) − v(∅)) ≥ share
        necessary:  (v(all) − v(all ∖ C)) / (v(all) − v(∅)) ≥ share

    Candidates come from the order of influence (attribution) and from adding the best player again and
    again (greedy); then members are dropped, one after the other, as long as the rest will do. So no
    member of the set can be dropped; every drop is evaluated and stands in the table. Up to 16 players all
    sets are evaluated, and the set is a smallest one. With more, all smaller sets are tried where these
    are few enough; else it is said that a smaller one may exist.

    Args:
        graph: an attribution graph, best unpruned.
        target: a node; the graph's heaviest target unless given.
        share: of the effect, above 0; 1 and more can be asked for where some players hold others back.
        kind: "sufficient" or "necessary".
        among: concepts, by any names, that are players in place of single nodes.

    Returns:
        An answer with tables `set` (each member, and the share without it), `steps` (how the set
        compares) and, where one was made, `proof`.

    Raises:
        NotFound: nothing is called so.
        UsageError: `share` or `kind` is none; a name is ambiguous; concepts overlap or hold the target;
            the players have no effect on the target; no set has that share.

    Example:
        >>> print(minimal(graph, "logit:Austin", share=0.9, kind="necessary"))  # doctest: +SKIP
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no kind of set: write kind='sufficient' or kind='necessary'.")
    if not 0 < share < float("inf"):
        raise UsageError(f"{share:g} is no share of an effect: give a number above 0, such as 0.8.")
    aim = meant_target(graph, target)
    if len(aim.nodes) > 1:
        raise UsageError(f"{aim.name} is {len(aim.nodes)} nodes: name one whose value is asked for.")
    subject = Subject.of(graph, aim.nodes[0])
    names, players = _players(subject, among)
    game = _game(subject, players, kind, share)
    found = smallest(game, _order(subject, players))
    tables = _tables(subject, names, players, found)
    asked = {"target": target, "share": share, "kind": kind, "among": None if among is None else list(among)}
    chosen = [row for i in found.members for row in players[i]]
    return Answer(
        question=_question(subject, kind, share),
        finding=sentences(subject, game, found, tables["set"]),
        tables=tables,
        highlight=induced(graph, np.array([*chosen, subject.row])),
        code=python(graph, "minimal", asked, {"share": SHARE, "kind": "sufficient"}),
        captions={name: CAPTIONS[name] for name in tables},
        meta={
            "query": "minimal",
            "asked": asked | {"target": str(target) if target is not None else None, "among": str(among)},
            "target": subject.node,
            "members": [names[i] for i in found.members],
            "share": found.share,
            "proven": found.proven,
            "evaluations": game.evaluations,
        },
        predictions=(_prediction(subject, players, found, game),),
    )


def _prediction(subject: Subject, players: list[list[int]], found: Smallest, game: Game) -> Prediction:
    """Gives what the set does, as an intervention: all players off but it, or it alone off."""
    inside = set(found.members)
    sufficient = game.kind == "sufficient"
    moved = found.share * (game.full - game.empty)
    off = [row for at, rows in enumerate(players) if (at in inside) != sufficient for row in rows]
    nodes = subject.graph.nodes["node"]
    value = game.empty + moved if sufficient else game.full - moved
    says = f"only the {len(inside)} of the set on" if sufficient else f"the {len(inside)} of the set off"
    return Prediction(says, ablate(str(nodes[row]) for row in off), subject.node, value)


def _players(subject: Subject, among: Sequence[str | Concept] | None) -> tuple[list[str], list[list[int]]]:
    """Gives the players' names and rows: concepts, or the features and errors that lead to the target."""
    graph = subject.graph
    if among is not None:
        names = [among] if isinstance(among, str | Concept) else among
        found = concepts(graph, [resolve(graph, name) for name in names], targets=[subject.node])
        if not found:
            raise UsageError("No concept to choose among: name some, or none for single features.")
        return [one.name for one in found], [[graph.row(node) for node in one.nodes] for one in found]
    kinds = graph.nodes["kind"].is_in(["feature", "error"]).to_numpy()
    rows = np.flatnonzero(kinds & _leads(subject))
    rows = rows[rows != subject.row]
    if not len(rows):
        raise UsageError(f"No feature and no error leads to {subject.node}: there is no set to choose.")
    return [str(graph.nodes["node"][int(row)]) for row in rows], [[int(row)] for row in rows]


def _leads(subject: Subject) -> np.ndarray:
    """Tells which nodes some edge path leads from to the target, dormant ones (of weight 0) too."""
    graph = subject.graph
    source, target = graph.ends
    live = graph.edges["strength"].to_numpy() != 0
    found = np.zeros(len(graph.nodes), bool)
    found[subject.row] = True
    pointer = np.searchsorted(target, np.arange(len(found) + 1))  # edges are sorted by target
    for row in range(len(found) - 1, -1, -1):
        if found[row]:
            inside = slice(pointer[row], pointer[row + 1])
            found[source[inside][live[inside]]] = True
    return found


def _game(subject: Subject, players: list[list[int]], kind: str, share: float) -> Game:
    runner = Runner(subject.graph, targets=[subject.node], players=players)
    game = Game(lambda masks: runner(masks)[:, 0].astype(float), len(players), kind, share)
    if abs(game.full - game.empty) <= STILL * made_of(subject.graph, subject.row):
        raise UsageError(
            f"With all {len(players)} players off {subject.node} stays at {game.full:.3g}: all together have"
            " no effect, so there is none to take a share of."
        )
    return game


def _order(subject: Subject, players: list[list[int]]) -> np.ndarray:
    """Gives the players by influence, the most influential first."""
    strength = np.array([subject.influence[rows].max() for rows in players])
    return np.argsort(-strength, kind="stable")


def _tables(
    subject: Subject, names: list[str], players: list[list[int]], found: Smallest
) -> dict[str, pl.DataFrame]:
    nodes, naming = subject.graph.nodes, Naming.of(subject.graph)
    single = all(len(rows) == 1 for rows in players)
    order = np.argsort(found.without, kind="stable").tolist()
    chosen = [found.members[i] for i in order]
    first = [players[i][0] for i in chosen]
    columns: dict[str, object] = {"member": [names[i] for i in chosen]}
    if single:
        columns["token"] = [naming.token(nodes["pos"][row]) for row in first]
    else:
        columns["nodes"] = [len(players[i]) for i in chosen]
    columns["share without it"] = [float(found.without[i]) for i in order]
    columns["influence"] = [float(subject.influence[players[i]].max()) for i in chosen] if single else None
    columns["label"] = [nodes["label"][row] for row in first] if single else None
    table = pl.DataFrame({k: v for k, v in columns.items() if v is not None})
    steps = pl.DataFrame(
        [(what, size, value, reached) for what, size, value, reached in found.steps],
        schema={"set": pl.String, "players": pl.Int64, "value": pl.Float64, "share": pl.Float64},
        orient="row",
    )
    return {"set": table, "steps": steps}


def _question(subject: Subject, kind: str, share: float) -> str:
    part = f"{share:.0%} of what features and errors do to {subject.words()}"
    if kind == "sufficient":
        return f"What is a smallest set that suffices for {part}?"
    return f"What is a smallest set without which {part} is lost?"
