"""The method `Coalitions` on graphs, and through which gates what it finds runs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from strategies import random_graph

from circuits.engine.games import Coalitions, GraphWorth
from circuits.engine.games.mediate import curves, mediate
from circuits.engine.interact import interact
from circuits.errors import CircuitsError, NotFound, UsageError
from circuits.graph.concepts import Concept, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.run import run
from circuits.schema import NODE_SCHEMA


def wired(gates: list[tuple[str, dict[str, float], float]], tokens: int = 3) -> Graph:
    """A graph over tokens (activation 1): features, the logit last, by name, strengths of sources, bias."""
    blank = dict.fromkeys(NODE_SCHEMA, None) | {"expanded": False, "truncated": 0.0, "target_weight": 0.0}
    rows = [blank | {"node": f"tok@{p}", "kind": "token", "activation": 1.0, "pos": p} for p in range(tokens)]
    rows.append(blank | {"node": "bias:own", "kind": "bias", "activation": 1.0})
    state = {row["node"]: 1.0 for row in rows}
    edges = []
    for name, sources, bias in gates:
        z = sum(strength * state[source] for source, strength in sources.items()) + bias
        feature = name != "logit"
        place = {"layer": int(name[0]), "feature": int(name[2]), "pos": 0} if feature else {}
        a = max(z, 0.0) if feature else z
        more = {"activation": a, "pre_activation": z, "expanded": True, "target_weight": 1.0 - feature}
        kind = {"kind": "feature", "gate": "relu"} if feature else {"kind": "logit"}
        rows.append(blank | {"node": name} | place | more | kind)
        names = [row["node"] for row in rows]
        edges += [(names.index(s), len(rows) - 1, w * state[s], w) for s, w in sources.items()]
        edges.append((tokens, len(rows) - 1, bias, bias))
        state[name] = a
    columns = np.array(edges, float).T
    ends = columns[0].astype(np.int32), columns[1].astype(np.int32)
    return Graph.of(pl.DataFrame(rows, schema=NODE_SCHEMA), ends, (columns[2], columns[3]))


TWO_GATES = wired(
    [
        ("0/0@0", {"tok@0": 1, "tok@1": 1}, -1),  # an AND of tokens 0 and 1
        ("0/1@0", {"tok@1": -1, "tok@2": 1}, 0),  # token 2 unless token 1
        ("1/0@0", {"0/0@0": 2, "tok@0": 1}, 0),  # never off: passes the AND on, twice
        ("logit", {"1/0@0": 1.5, "0/1@0": 4, "tok@2": 1}, 0),
    ]
)
"""v = 1.5 (2 AND(t0, t1) + t0) + 4 t2 (1 − t1) + t2."""


def test_the_gates_an_interaction_runs_through_are_those_that_make_it() -> None:
    tokens = ("tok@0", "tok@1", "tok@2")
    graph = interact(TWO_GATES, [Coalitions(players=tokens, order=2, index="Moebius")])
    table = graph.hyperedges.filter(order=2)
    whole = {tuple(r["members"]): r for r in table.filter(pl.col("via").is_null()).iter_rows(named=True)}
    assert whole["tok@0", "tok@1"]["weight"] == pytest.approx(3)
    assert whole["tok@1", "tok@2"]["weight"] == pytest.approx(-4)
    assert whole["tok@0", "tok@2"]["weight"] == pytest.approx(0)
    # effects with the third token on: t1 3, t2 5, both 4 of 5; t0 1.5, t1 −4, both 0.5
    assert [row["gate"] for row in whole.values()] == ["or", "inhibit", "additive"]
    shares = {
        (*r["members"], r["via"]): r["weight"]
        for r in table.filter(pl.col("via").is_not_null()).iter_rows(named=True)
        if abs(r["weight"]) > 1e-9
    }
    assert shares == {
        ("tok@0", "tok@1", "0/0@0"): pytest.approx(3),  # not 1/0@0, which only passes it on
        ("tok@1", "tok@2", "0/1@0"): pytest.approx(-4),
    }
    assert whole["tok@0", "tok@1"]["effect"] == pytest.approx(3 + 1.5 - 4)


def test_a_gate_whose_kink_lies_within_reach_is_foreseen() -> None:
    """Tokens 0 and 1 are never on together here: their AND has not bent yet, but may."""
    worth = GraphWorth(TWO_GATES, ["tok@0", "tok@1", "tok@2"])
    masks = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], bool)
    bent = curves(worth, masks, worth.observe(masks)[1], np.full(6, 1 / 6))
    assert {worth.gates.names[k] for k in bent.gates} >= {"0/0@0", "0/1@0"}


@pytest.mark.parametrize("blind", [False, True])
def test_shares_are_found_from_few_coalitions_too(blind: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve tokens, of which the gates read three: shares lie in their intervals, the budget is kept."""
    gates = [("0/0@0", {"tok@0": 1, "tok@1": 1}, -1), ("0/1@0", {"tok@1": -1, "tok@2": 1}, 0)]
    tokens = {f"tok@{p}": 0.1 * p for p in range(3, 12)}
    graph = wired([*gates, ("logit", {"0/0@0": 3, "0/1@0": 4} | tokens, 0)], tokens=12)
    if blind:  # the kernel alone, as where no network can be fitted
        monkeypatch.setattr("circuits.engine.games.surrogate._networks", lambda *_: ())
    method = Coalitions(tuple(f"tok@{p}" for p in range(12)), budget=400, top=10)
    table = interact(graph, [method]).hyperedges.filter(order=2)
    assert table["estimated"].all()
    assert table["evaluations"].max() <= 400
    assert set(table["engine"]) == {"sampling, kernel" if blind else "sampling, gates and kernel"}
    for members, value, via in ((["tok@0", "tok@1"], 3, "0/0@0"), (["tok@1", "tok@2"], -4, "0/1@0")):
        rows = table.filter(pl.col("members") == members)
        assert set(rows["via"]) == {None, via}
        assert len(rows) == 2
        for row in rows.iter_rows(named=True):
            assert row["weight"] == pytest.approx(value, abs=0.6 if blind else 1e-6)
            assert row["low"] - 1e-6 <= value <= row["high"] + 1e-6
    whole = table.filter(pl.col("via").is_null())
    assert len(whole) == 10
    assert whole["effect"].null_count() == 0


@pytest.mark.parametrize("index", ["SII", "FSII", "Co-Moebius"])
def test_the_shares_of_all_gates_add_up_to_the_whole(index: str) -> None:
    graph = random_graph(2, layers=3, features=5, gates=("relu", "jumprelu"), density=0.9)
    players = [*("tok@0", "tok@1", "tok@2"), *graph.nodes.filter(kind="feature")["node"][:4]]
    every = (np.arange(2 ** len(players))[:, None] >> np.arange(len(players)) & 1).astype(bool)
    worth = GraphWorth(graph, players)
    _, seen = worth.observe(every)
    bent = curves(worth, every, seen, np.full(len(every), 1 / len(every)))
    assert 2 < len(bent.gates) < len(worth.gates.names)
    for order in (2, 3):
        sets = np.array(list(combinations(range(len(players)), order)))
        shares = mediate(lambda m: bent.values(worth.gates, m, worth.observe(m)[1]), index, sets, every)
        found = interact(graph, [Coalitions(tuple(players), index=index, order=order, top=None, share=2)])
        rows = found.hyperedges.filter(order=order)
        wanted = {frozenset(r["members"]): r["weight"] for r in rows.iter_rows(named=True)}
        for row, total in zip(sets, shares.sum(axis=0), strict=True):
            assert total == pytest.approx(wanted[frozenset(players[i] for i in row)], abs=1e-9)


def test_the_features_of_most_influence_play_unless_others_are_named() -> None:
    graph = random_graph(1, layers=3, features=12, density=0.5)
    found = interact(graph, [Coalitions(top=None)])
    features = set(graph.nodes.filter(kind="feature")["node"])
    told = found.meta["interactions"]["output"]["units"].popitem()[1]
    players = told["players"]
    assert len(players) == 16
    assert set(players) <= features
    table = found.hyperedges
    assert set(table["channel"]) == {"output"}
    assert set(table["target"]) == {graph.targets[0]}
    assert len(table.filter(pl.col("via").is_null(), order=2)) == 120
    values = run(graph, off=players, targets=[graph.targets[0]])[0, 0]
    shapley = table.filter(order=1)["weight"].sum()
    assert shapley == pytest.approx(run(graph)[0, 0] - values, abs=1e-9)
    assert (told["empty"], told["full"]) == pytest.approx((values, run(graph)[0, 0]))
    assert table["evaluations"].unique().to_list() == [2**16]


def test_concepts_play_by_name_or_by_spec() -> None:
    graph = random_graph(1)
    graph = with_concepts(graph, [Concept("first", ("0/0@0", "0/1@1"))])
    rest = Concept("made", ("tok@2",))
    found = interact(graph, [Coalitions(("first", "second=1/0@0,1/1@1", rest, "tok@0"), order=3)])
    members = {name for row in found.hyperedges["members"] for name in row}
    assert members == {"first", "second", "made", "tok@0"}
    effect = found.hyperedges.filter(pl.col("members") == ["first"])["effect"].item()
    off = run(graph, off=["0/0@0", "0/1@1"])[0, 0]
    assert effect == pytest.approx(run(graph)[0, 0] - off, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [
        ({"players": ("tok@0", "tok@7")}, NotFound, r"No node or concept 'tok@7'.*Did you mean 'tok@"),
        ({"players": ("tok@0", "a=tok@0,tok@1")}, UsageError, "tok@0 is in player tok@0 and in player a"),
        ({"players": ("tok@0",), "order": 2}, UsageError, "Order 2 is larger than the 1 players"),
        ({"players": ("tok@0", "tok@1"), "budget": 3}, UsageError, "budget of at least 4"),
        ({"players": ("tok@0",), "order": 1, "target": "logit: 9"}, NotFound, "Did you mean 'logit: "),
        ({"players": ("tok@0",), "order": 1, "target": "tok@1"}, UsageError, "tok@1 was not expanded"),
        ({"index": "SHAP"}, UsageError, "No index 'SHAP'"),
        ({"top": 0}, UsageError, "give top=1 or more"),
        ({"budget": 10**15}, UsageError, None),
    ],
)
def test_senseless_settings_are_refused_before_any_work(
    settings: dict[str, object], kind: type[CircuitsError], sentence: str | None
) -> None:
    graph = random_graph(0, layers=4, features=12)
    if sentence is None:  # more than memory holds
        settings = {**settings, "players": tuple(graph.nodes.filter(kind="feature")["node"][:44])}
        sentence = r"44 players with a budget of 1,000,000,000,000,000 coalitions need about .* GB, and"
    with pytest.raises(kind, match=sentence):
        Coalitions(**settings).units(graph)  # type: ignore[arg-type]
