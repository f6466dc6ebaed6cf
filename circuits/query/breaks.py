"""What breaks if some things are off: outputs and features, each alone and all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import UsageError
from circuits.graph.actions import ablate
from circuits.graph.concepts import Concept, concepts
from circuits.graph.graph import Graph
from circuits.graph.names import resolve
from circuits.graph.run import Runner
from circuits.graph.slopes import slopes
from circuits.query.answer import Answer, Prediction
from circuits.query.break_text import CAPTIONS, sentences
from circuits.query.ends import concept_words, meant_target
from circuits.query.subject import induced
from circuits.query.text import Naming, listing, python

MOST = 4
"""Things that can be off at once, at most: all their subsets are evaluated."""

SHOWN = 15
"""Features listed, at most."""


def breaks(graph: Graph, off: Sequence[str | Concept], *, target: str | Concept | None = None) -> Answer:
    """Gives what the graph predicts to break if some things are off, singly and together.

    Everything else responds: features weaken, go out, or turn on, layer by layer; attention patterns
    and norms stay as they are on the prompt. What the things do together beyond what each does is the
    interaction: change(all off) − Σ change(each off).

    Args:
        graph: an attribution graph, best unpruned.
        off: what is off, by any names; up to 4 things, none sharing a node with another.
        target: what is asked about; all the graph's targets unless given.

    Returns:
        An answer with tables `outputs` (each target before, after, with each alone off, and the
        interaction), `subsets` (every combination, for the first target) and `features` (the features
        that change most for the target: `off`, `on`, weaker, stronger).

    Raises:
        NotFound: nothing is called so.
        UsageError: nothing, or more than 4 things are named; a name is ambiguous; two overlap, or one
            names a target.

    Example:
        >>> print(breaks(graph, ["Dallas", "state"], target="logit:Austin"))  # doctest: +SKIP
    """
    names = [off] if isinstance(off, str | Concept) else list(off)
    if not 1 <= len(names) <= MOST:
        raise UsageError(f"{len(names)} things to be off: name 1 to {MOST}.")
    aims = graph.targets if target is None else list(meant_target(graph, target).nodes)
    if not aims:
        raise UsageError("This graph has no target: name the node that may break.")
    found = concepts(graph, [resolve(graph, name) for name in names], targets=aims)
    test = Broken.of(graph, found, aims)
    tables = {"outputs": test.outputs(), "subsets": test.subsets(), "features": test.features()}
    what = listing(concept_words(test.naming, one) for one in found)
    told = [
        *aims[:SHOWN],
        *(node for one in found for node in one.nodes[:SHOWN]),
        *tables["features"]["node"],
    ]
    asked = {"off": list(names), "target": target}
    return Answer(
        question=f"What breaks if {what} {'is' if len(found) == 1 else 'are'} off?",
        finding=sentences(test, tables),
        tables=tables,
        highlight=induced(graph, np.array([graph.row(name) for name in told])),
        code=python(graph, "breaks", asked, first=("off",)),
        captions=CAPTIONS,
        meta={
            "query": "breaks",
            "asked": {k: v if v is None or isinstance(v, str) else str(v) for k, v in asked.items()},
            "target": aims[0],
        },
        predictions=test.predictions(),
    )


@dataclass(frozen=True, eq=False)
class Broken:
    """The graph with every combination of the things off.

    Attributes:
        graph: the graph.
        naming: its readable names.
        concepts: the things.
        targets: whose values are told.
        values: one row a combination (bit i set: thing i is on), one column a target.
        seen: pre-activations of the runner's gates with all on, and with all off.
        runner: what evaluated them.
    """

    graph: Graph
    naming: Naming
    concepts: tuple[Concept, ...]
    targets: list[str]
    values: Float[np.ndarray, "S T"]
    seen: Float[np.ndarray, "2 K"]
    runner: Runner

    @classmethod
    def of(cls, graph: Graph, things: tuple[Concept, ...], targets: list[str]) -> Broken:
        """Gives every combination of some things off, evaluated."""
        players = [[graph.row(node) for node in one.nodes] for one in things]
        runner = Runner(graph, targets=targets, players=players)
        count = len(things)
        masks = (np.arange(1 << count)[:, None] >> np.arange(count) & 1).astype(float)
        values, seen = runner.observe(masks)
        return cls(graph, Naming.of(graph), things, targets, values.astype(float), seen[[-1, 0]], runner)

    @property
    def changes(self) -> Float[np.ndarray, "S T"]:
        """Gives what each combination of things on leaves, less the value with all on."""
        return np.asarray(self.values - self.values[-1])

    def predictions(self) -> tuple[Prediction, ...]:
        """Gives what is predicted of the first target, each combination of things off being one."""
        found = []
        for place in range(len(self.values) - 1):
            off = [one for bit, one in enumerate(self.concepts) if not place >> bit & 1]
            done = ablate(node for one in off for node in one.nodes)
            says = f"{listing(one.name for one in off)} off"
            found.append(Prediction(says, done, self.targets[0], float(self.values[place, 0])))
        return tuple(sorted(found, key=lambda one: len(one.intervention.nodes)))

    @property
    def interaction(self) -> Float[np.ndarray, "T"]:
        """Gives what all do together beyond the sum of what each does: 0 for one thing."""
        full = len(self.values) - 1
        alone = sum(self.changes[full - (1 << i)] for i in range(len(self.concepts)))
        return np.asarray(self.changes[0] - alone)

    @cached_property
    def activations(self) -> Float[np.ndarray, "2 K"]:
        """Gives the gates' activations before, as recorded, and after."""
        from circuits.engine.games.graph_game import GraphWorth

        worth = GraphWorth(self.graph, self.concepts, self.targets[0])
        masks = np.array([[True], [False]]).repeat(len(self.concepts), axis=1)
        place = {name: at for at, name in enumerate(self.graph.nodes["node"][self.runner.gates.tolist()])}
        _, seen = worth.observe(masks)
        found = np.zeros((2, len(self.runner.gates)))
        here = [place[name] for name in worth.gates.names]
        found[:, here] = worth.gates.activations(masks, seen.astype(np.float64))
        return found

    def outputs(self) -> pl.DataFrame:
        """Gives each target before and after, what each thing alone changes, and the interaction."""
        full = len(self.values) - 1
        columns: dict[str, list[float] | list[str]] = {
            "target": list(self.targets),
            "before": self.values[-1].tolist(),
            "after": self.values[0].tolist(),
            "effect": self.changes[0].tolist(),
        }
        if len(self.concepts) > 1:
            for i, one in enumerate(self.concepts):
                columns[f"only {one.name} off"] = self.changes[full - (1 << i)].tolist()
            columns["interaction"] = self.interaction.tolist()
        return pl.DataFrame(columns).head(SHOWN)

    def subsets(self) -> pl.DataFrame:
        """Gives the first target's value for every combination that is off; nothing for one thing."""
        rows: list[tuple[str, float, float]] = []
        for mask in range(len(self.values) - 1 if len(self.concepts) > 1 else -1, -1, -1):
            gone = [one.name for i, one in enumerate(self.concepts) if not mask >> i & 1]
            value, change = float(self.values[mask, 0]), float(self.changes[mask, 0])
            rows.append((listing(gone) or "nothing", value, change))
        schema = {"off": pl.String, "value": pl.Float64, "effect": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def features(self) -> pl.DataFrame:
        """Gives the features whose change matters most to the first target, strongest first.

        weight: what the change brings to the target, later gates passing it on as they do here.
        """
        before, after = self.activations
        weight = (after - before) * self.runner.gains(slopes(self.graph)[self.runner.gates])[:, 0]
        own = {self.graph.row(node) for one in self.concepts for node in one.nodes}
        order = [k for k in np.argsort(-np.abs(weight), kind="stable").tolist() if weight[k]]
        rows: list[tuple[object, ...]] = []
        for k in order:
            row = int(self.runner.gates[k])
            if row in own or len(rows) == SHOWN:
                continue
            node = str(self.graph.nodes["node"][row])
            change = _change(float(before[k]), float(after[k]))
            token = self.naming.token(self.graph.nodes["pos"][row])
            label = self.graph.nodes["label"][row]
            rows.append((node, token, change, float(before[k]), float(after[k]), float(weight[k]), label))
        schema = {"node": pl.String, "token": pl.String, "change": pl.String, "before": pl.Float64}
        more = {"after": pl.Float64, "weight": pl.Float64, "label": pl.String}
        return pl.DataFrame(rows, schema=schema | more, orient="row")


def _change(before: float, after: float) -> str:
    if after == 0:
        return "goes out"
    if before == 0:
        return "turns on"
    if before * after < 0:
        return "turns round"
    return "weaker" if abs(after) < abs(before) else "stronger"
