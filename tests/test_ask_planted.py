"""Asked in words, planted models answer what their table says: who needs whom, what suffices, why not."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import polars as pl
import pytest

import circuits
from circuits.graph.concepts import Concept, with_concepts
from circuits.graph.graph import Graph
from circuits.planted.plant import PLANTED
from circuits.planted.truth import Planted
from circuits.query.ask.builder import ask

NO = "logit:no"


@functools.cache
def planted(name: str) -> tuple[Graph, Planted]:
    model = circuits.plant(name)
    graph = circuits.attribute(model.trace)
    return with_concepts(graph, [Concept(n, nodes) for n, nodes in model.concepts.items()]), model


def worth(model: Planted, off: set[str]) -> float:
    return model.truth.table[sum(1 << bit for bit, one in enumerate(model.concepts) if one not in off)]


def needed(model: Planted, one: str, other: str) -> str:
    """Whether what `one` does needs `other`, from the table, as the words yes, no, partly are defined."""
    with_it = worth(model, set()) - worth(model, {one})
    without = worth(model, {other}) - worth(model, {one, other})
    if with_it == 0:
        return "no" if without else "no effect"
    kept = without / with_it
    return "reversed" if kept <= -0.2 else "yes" if kept <= 0.2 else "no" if kept >= 0.8 else "partly"


PAIRS = [(name, pair) for name in PLANTED for pair in itertools.combinations(planted(name)[1].concepts, 2)]


@pytest.mark.parametrize(("name", "pair"), PAIRS)
def test_does_a_need_b_is_answered_by_the_table(name: str, pair: tuple[str, str]) -> None:
    graph, model = planted(name)
    one, other = pair
    answer = ask(graph, f"does concept:{one} need concept:{other}?").answer()
    rows = answer.tables["needs"].iter_rows(named=True)
    for row, (what, of) in zip(rows, (pair, pair[::-1]), strict=True):
        assert (row["effect of"], row["needs"]) == (what, of)
        assert row["verdict"] == needed(model, what, of)
        assert row["with"] == pytest.approx(worth(model, set()) - worth(model, {what}), abs=1e-6)
        assert row["without"] == pytest.approx(worth(model, {of}) - worth(model, {one, other}), abs=1e-6)


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("kind", ["sufficient", "necessary"])
def test_the_smallest_set_has_as_few_nodes_as_any_that_will_do(name: str, kind: str) -> None:
    """By enumeration of all sets of features, each run on the graph; words and constants stay on."""
    graph, model = planted(name)
    features = graph.nodes.filter(pl.col("kind").is_in(["feature", "error"]))["node"].to_list()
    sets = [set(s) for k in range(len(features) + 1) for s in itertools.combinations(features, k)]
    masks = np.ones((len(sets), len(graph.nodes)))
    for row, chosen in enumerate(sets):
        on = chosen if kind == "sufficient" else set(features) - chosen
        for node in features:
            masks[row, graph.row(node)] = node in on
    values = graph.run(masks, targets=[model.target])[:, 0]
    everything, nothing = (values[-1], values[0]) if kind == "sufficient" else (values[0], values[-1])
    if abs(everything - nothing) < 1e-6:
        with pytest.raises(circuits.CircuitsError):
            ask(graph, f"smallest {kind} set for 80% of yes").answer()
        return
    share = (values - nothing) / (everything - nothing)
    enough = share >= 0.8 - 1e-9 if kind == "sufficient" else 1 - share >= 0.8 - 1e-9
    fewest = min(len(chosen) for chosen, good in zip(sets, enough, strict=True) if good)
    answer = ask(graph, f"smallest {kind} set for 80% of yes").answer()
    members = {str(node) for node in answer.tables["set"]["member"]}
    assert len(members) == fewest
    assert enough[sets.index(members)]


def with_no(graph: Graph, weight: float) -> Graph:
    """The graph with a second output that the first concept alone speaks for."""
    source = graph.row(graph.nodes.filter(kind="feature")["node"][0])
    yes = graph.nodes.filter(kind="logit")
    no = yes.with_columns(
        node=pl.lit(NO), pre_activation=pl.lit(weight), activation=pl.lit(weight), target_weight=pl.lit(0.0)
    )
    value = graph.nodes["activation"][source]
    ends = tuple(np.append(e, new) for e, new in zip(graph.ends, (source, len(graph.nodes)), strict=True))
    values = tuple(
        np.append(graph.edges[name].to_numpy(), new).astype(np.float64)
        for name, new in (("weight", weight), ("strength", weight / value))
    )
    return Graph.of(pl.concat([graph.nodes, no]), (ends[0], ends[1]), (values[0], values[1]), graph.meta)


@pytest.mark.parametrize("name", PLANTED)
def test_why_yes_not_no_is_the_difference_edge_by_edge(name: str) -> None:
    graph, model = planted(name)
    both = with_no(graph, 0.75)
    feature = graph.nodes.filter(kind="feature")["node"][0]
    answer = ask(both, "why yes and not no").answer()
    assert answer.meta["value"] == pytest.approx(worth(model, set()) - 0.75, abs=1e-6)
    assert answer.tables["totals"]["total"].sum() == pytest.approx(answer.meta["value"], abs=1e-6)
    direct = dict(answer.tables["features"].select("node", "weight").iter_rows())
    edges = {(c.source, c.target): c.weight for c in model.truth.edges}
    for node in graph.nodes.filter(kind="feature")["node"]:
        expected = edges.get((node, model.target), 0.0) - (0.75 if node == feature else 0.0)
        assert (direct.get(node) or 0.0) == pytest.approx(expected, abs=1e-6)
    swapped = ask(both, "why no not yes").answer()
    assert swapped.meta["value"] == pytest.approx(-answer.meta["value"], abs=1e-9)


@pytest.mark.parametrize("name", PLANTED)
def test_what_breaks_is_what_the_table_loses(name: str) -> None:
    graph, model = planted(name)
    listed = " and ".join(f"concept:{one}" for one in model.concepts)
    answer = ask(graph, f"what breaks if {listed} are off").answer()
    lost = worth(model, set(model.concepts)) - worth(model, set())
    assert ask(graph, f"what if {listed} are off").answer().tables["outputs"]["change"][0] == pytest.approx(
        lost, abs=1e-6
    )
    assert answer.finding
