"""Contrasts: sums that close, laws, what planted models are known to differ in, refusals, caveats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_graph import sample_graph
from strategies import graphs, random_graph

from circuits.engine.attribute import attribute
from circuits.errors import Incompatible, NotFound, UsageError
from circuits.graph.actions import Intervention, setting
from circuits.graph.graph import Graph
from circuits.graph.predict import predict
from circuits.planted import basic, wired
from circuits.planted.design import Design
from circuits.planted.embed import embedded, numbered
from circuits.planted.plant import _DESIGNS
from circuits.query.align import Alignment
from circuits.query.answer import Answer
from circuits.query.contrast import contrast
from circuits.query.contrast_asked import same_features
from circuits.query.contrast_inputs import differences
from circuits.query.contrast_pair import Pair
from circuits.query.contrast_swaps import _Trial, _without_idle
from circuits.query.contrast_tables import decomposition, edge_counts
from circuits.query.subject import Subject
from circuits.query.totals import Totals
from circuits.schema import HYPEREDGE_SCHEMA, parse_feature

QUIET = settings(max_examples=15, deadline=None)
TARGET = "logit: 0"
NUMBERS = ("here", "there", "change", "by_activation", "by_effect", "direct_change")


def edges_of(graph: Graph) -> dict[tuple[str, str], tuple[float, float]]:
    rows = graph.edges.cast({"source": pl.String, "target": pl.String}).iter_rows()
    return {(source, target): (weight, strength) for source, target, weight, strength in rows}


def compared(one: Graph, two: Graph, align: str = "end", *, target: str = TARGET, top: int = 10**6) -> Answer:
    """The answer without the swap it predicts, for which JAX would compile every graph."""
    with patch("circuits.query.contrast.swaps", return_value=None):
        return contrast(one, two, target=target, align=align, top=top)


def value_of(graph: Graph, target: str) -> float:
    return float(graph.nodes["pre_activation"][graph.row(target)])


def close(one: float, other: float, scale: float = 1.0) -> bool:
    return bool(np.isclose(one, other, rtol=1e-5, atol=1e-5 * max(1.0, scale)))


def literal_totals(graph: Graph, target: str) -> dict[str, float]:
    """What every node brings, by enumeration of all paths: the product of strengths and ratios along each."""
    nodes = {row["node"]: row for row in graph.nodes.iter_rows(named=True)}
    edges = edges_of(graph)
    constants = dict.fromkeys(nodes, 0.0)
    for (source, end), (weight, _) in edges.items():
        constants[end] += weight if nodes[source]["kind"] == "bias" else 0.0

    def ratio(name: str) -> tuple[float, bool]:
        row = nodes[name]
        if name == target:
            return 1.0, False
        if row["kind"] != "feature" or not row["expanded"]:
            return 0.0, False
        z, b = row["pre_activation"], constants[name]
        held = z != b and 0 < z / (z - b) < 1
        below = z - b if held else z
        return (row["activation"] / below if below else 0.0), held

    net = nx.DiGraph([*edges])
    net.add_nodes_from(nodes)
    found = {}
    for name, row in nodes.items():
        paths = nx.all_simple_paths(net, name, target) if name != target else ()
        total = 0.0
        for path in paths:
            product = 1.0
            for source, end in pairwise(path):
                factor, held = ratio(end)
                product *= 0.0 if held and nodes[source]["kind"] == "bias" else factor * edges[source, end][1]
            total += product
        found[name] = total * row["activation"]
    return found


@QUIET
@given(graphs(dtype=np.float64))
def test_totals_are_sums_over_all_paths_and_conserve_the_value(graph: Graph) -> None:
    totals = Totals(Subject.of(graph, TARGET))
    wanted = literal_totals(graph, TARGET)
    scale = max(map(abs, wanted.values()), default=1.0)
    for name, row in graph.index.items():
        if name != TARGET:
            assert close(totals.total[row], wanted[name], scale), name
    begun = float(totals.total[totals.leaf].sum() + totals.lacking.sum())
    assert close(begun, value_of(graph, TARGET), scale)


@QUIET
@given(graphs(dtype=np.float64))
def test_what_edges_carry_is_what_nodes_bring(graph: Graph) -> None:
    totals = Totals(Subject.of(graph, TARGET))
    out = np.asarray(totals.passed.sum(axis=0)).ravel()
    bias = (graph.nodes["kind"] == "bias").to_numpy()  # constants that hold back pass on nothing
    for row in np.flatnonzero(~bias):
        if graph.nodes["node"][int(row)] != TARGET:
            assert close(out[row], totals.total[row], float(np.abs(totals.total).max()))


def pair_of(one: Graph, two: Graph, align: str = "end") -> Pair:
    alignment = Alignment.of_graphs(one, two, align)
    return Pair.of(Subject.of(one, TARGET), Subject.of(two, TARGET), alignment)


PAIRS = st.tuples(graphs(dtype=np.float64), graphs(dtype=np.float64), st.sampled_from(["end", "start"]))


def shifted(name: str, by: int) -> str:
    stem, at, place = name.rpartition("@")
    return f"{stem}@{int(place) + by}" if at and place.isdigit() else name


@QUIET
@given(PAIRS)
def test_the_decomposition_is_that_of_the_edge_tables_and_adds_up(drawn: tuple[Graph, Graph, str]) -> None:
    one, two, align = drawn
    table = decomposition(pair_of(one, two, align))
    whole = value_of(one, TARGET) - value_of(two, TARGET)
    assert close(table["change"].sum(), whole, abs(whole))
    assert np.allclose(table["by_activation"] + table["by_effect"], table["change"])
    n, m = (int(g.nodes["pos"].max()) + 1 for g in (one, two))
    by = n - m if align == "end" else 0
    wanted = {s: w for (s, t), (w, _) in edges_of(one).items() if t == TARGET and w}
    for (source, target), (weight, _) in edges_of(two).items():
        if target == TARGET and weight:
            place = shifted(source, by)
            known = place == source or 0 <= int(place.rpartition("@")[2]) < n
            key = place if known else ("there", source)
            wanted[key] = wanted.get(key, 0.0) - weight
    found = [change for change in table["change"][:-1] if abs(change) > 1e-12]
    assert np.allclose(sorted(found), sorted(w for w in wanted.values() if abs(w) > 1e-12))


@QUIET
@given(PAIRS)
def test_a_change_is_split_by_the_product_rule(drawn: tuple[Graph, Graph, str]) -> None:
    one, two, _ = drawn
    if one.nodes["pos"].max() != two.nodes["pos"].max():
        return
    table = {row["node"]: row for row in decomposition(pair_of(one, two)).to_dicts()}
    first, second = edges_of(one), edges_of(two)
    for name in set(one.index) & set(two.index):
        if (name, TARGET) in first and (name, TARGET) in second:
            a = [g.nodes["activation"][g.row(name)] for g in (one, two)]
            s = [edges[name, TARGET][1] for edges in (first, second)]
            assert close(table[name]["by_activation"], (a[0] - a[1]) * (s[0] + s[1]) / 2)
            assert close(table[name]["by_effect"], (a[0] + a[1]) / 2 * (s[0] - s[1]))


@QUIET
@given(PAIRS)
def test_exchanging_the_graphs_turns_every_sign(drawn: tuple[Graph, Graph, str]) -> None:
    one, two, align = drawn
    answers = [compared(a, b, align) for a, b in ((one, two), (two, one))]
    assert answers[0].meta["difference"] == pytest.approx(-answers[1].meta["difference"], abs=1e-9)
    assert set(answers[0].tables) == set(answers[1].tables)
    for name in ("totals", "words", "features", "edges"):
        if name not in answers[0].tables:
            continue
        here, there = (answer.tables[name]["change"].to_numpy() for answer in answers)
        assert np.allclose(np.sort(here), np.sort(-there), atol=1e-9), name
        assert np.isclose(
            np.nansum(answers[0].tables[name]["share"].cast(pl.Float64).fill_null(0).to_numpy()),
            np.nansum(answers[1].tables[name]["share"].cast(pl.Float64).fill_null(0).to_numpy()),
        ), name


@QUIET
@given(PAIRS)
def test_totals_and_words_add_up_to_the_difference(drawn: tuple[Graph, Graph, str]) -> None:
    one, two, align = drawn
    answer = compared(one, two, align)
    scale = max(map(abs, answer.meta["values"]))
    for name in ("totals", "words"):
        if name in answer.tables:
            assert close(answer.tables[name]["change"].sum(), answer.meta["difference"], scale)


@QUIET
@given(graphs())
def test_a_graph_against_itself_gives_nothing(graph: Graph) -> None:
    answer = contrast(graph, graph)
    assert not answer.tables
    assert answer.finding[0].startswith("There is no difference")
    assert answer.meta["difference"] == 0
    again = contrast(graph, Graph(graph.nodes, graph.edges, graph.hyperedges, graph.meta))
    assert not again.tables


def renumbered(graph: Graph, ids: Mapping[int, int]) -> Graph:
    """The graph with its features' numbers permuted."""

    def name(node: str) -> str:
        place = parse_feature(node)
        return f"{place[0]}/{ids[place[1]]}@{place[2]}" if place else node

    nodes = graph.nodes.with_columns(
        pl.Series("node", [name(node) for node in graph.nodes["node"]]),
        pl.Series("feature", [None if f is None else ids[f] for f in graph.nodes["feature"]], dtype=pl.Int32),
    )
    weight, strength = (graph.edges[column].to_numpy() for column in ("weight", "strength"))
    return Graph.of(nodes, graph.ends, (weight, strength), graph.meta)


@QUIET
@given(PAIRS, st.permutations(range(6)))
def test_the_numbers_of_features_do_not_matter(drawn: tuple[Graph, Graph, str], order: list[int]) -> None:
    one, two, align = drawn
    ids = dict(enumerate(order))
    plain = compared(one, two, align)
    other = compared(renumbered(one, ids), renumbered(two, ids), align)
    assert set(plain.tables) == set(other.tables)
    for name in ("totals", "words"):
        if name in plain.tables:
            assert np.allclose(plain.tables[name]["change"], other.tables[name]["change"])
    for name in ("features", "edges"):
        if name in plain.tables:
            changes = [np.sort(answer.tables[name]["change"].to_numpy()) for answer in (plain, other)]
            assert np.allclose(*changes)


def test_edges_are_counted_as_their_names_say() -> None:
    one, two = random_graph(1, density=0.4), random_graph(2, density=0.4)
    sets = []
    for graph in (one, two):
        gain = Totals(Subject.of(graph, TARGET))
        carried = gain.passed.tocoo()
        names = graph.nodes["node"]
        ends = zip(carried.coords[1], carried.coords[0], carried.data, strict=True)
        sets.append({(names[int(s)], names[int(t)]) for s, t, value in ends if value})
    both = len(sets[0] & sets[1])
    assert edge_counts(pair_of(one, two)) == (both, len(sets[0]) - both, len(sets[1]) - both)


def numbers_of(answer: Answer) -> set[str]:
    return set(re.findall(r"[+−][\d.]+(?:e−?\d+)?", " ".join(answer.finding)))


@pytest.mark.parametrize(("seeds", "tokens"), [((3, 4), (3, 3)), ((5, 6), (4, 3)), ((7, 7), (3, 4))])
def test_signed_numbers_of_the_finding_are_in_the_tables(
    seeds: tuple[int, int], tokens: tuple[int, int]
) -> None:
    one, two = (random_graph(seed, tokens=n) for seed, n in zip(seeds, tokens, strict=True))
    answer = contrast(one, two, target=TARGET)
    shown = str(answer).partition("\nTOTALS")[2]
    lone = answer.tables["totals"].filter(pl.col("part").str.contains("only"))["change"].sum()
    from circuits.query.text import signed

    allowed = {signed(lone), signed(answer.meta["difference"]), *map(signed, answer.meta["values"])}
    allowed |= {signed(x) for x in answer.tables["features"]["change"]}
    assert all(number in shown or number in allowed for number in numbers_of(answer)), numbers_of(answer)


# ---- planted models: two prompts of one network, one lacking a word


def graph_of(design: Design, seed: int = 0) -> tuple[Graph, dict[str, str]]:
    rng = np.random.default_rng(seed)
    nodes = numbered(design, rng)
    return attribute(embedded(design, nodes, 0.0, rng)), nodes


def without(design: Design, *names: str) -> Design:
    """The same network on a prompt whose words lack some concepts."""
    lost = {f"word {name}" for name in names}
    words = {
        p: {line: x for line, x in lines.items() if line not in lost} for p, lines in design.words.items()
    }
    return replace(design, words=words)


def test_a_planted_and_names_the_missing_input_and_the_gate() -> None:
    design = basic.conjunction()
    (on, nodes), (off, _) = graph_of(design), graph_of(without(design, "A"))
    answer = contrast(on, off)
    assert answer.meta["difference"] == pytest.approx(1.0)
    table = {row["node"]: row for row in answer.tables["features"].to_dicts()}
    assert table[nodes["gate"]]["share"] == pytest.approx(1.0)
    assert table[nodes["A"]]["presence"] == table[nodes["gate"]]["presence"] == "only here"
    # 3/2 of the 3 that overcome the threshold of 2 are A's: half of what the gate brings
    assert table[nodes["A"]]["share"] == pytest.approx(0.5)
    assert table[nodes["B"]]["by_activation"] == pytest.approx(0.0)
    assert "is 1 in the first run and 0 in the second" in answer.finding[0]
    assert "[gate] (activation 1 against off: +1, 100%)" in answer.finding[0]
    assert "[A] (activation 2 against off: +0.5, 50%)" in answer.finding[0]
    totals = {row["part"]: row["change"] for row in answer.tables["totals"].to_dicts()}
    assert totals["features only here"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", _DESIGNS)
def test_on_every_planted_model_a_missing_concept_is_named(name: str) -> None:
    design = _DESIGNS[name]()
    on, nodes = graph_of(design)
    _, before, here = design.activations()
    for concept in design.concepts:
        lacking = without(design, concept)
        _, after, there = lacking.activations()
        answer = compared(on, graph_of(lacking)[0], target="logit:yes")
        assert answer.meta["difference"] == pytest.approx(here - there, abs=1e-9)
        rows = {row["node"]: row for row in answer.tables["features"].to_dicts()} if answer.tables else {}
        for unit in design.units:
            row = rows.get(nodes[unit.name])
            if row is not None:
                off = [abs(values[unit.name]) < 1e-9 for values in (before, after)]
                how = {(False, True): "only here", (True, False): "only there"}.get(
                    (off[0], off[1]), "in both"
                )
                assert row["presence"] == how, unit.name
                changes = abs(before[unit.name] - after[unit.name]) > 1e-9
                assert changes or abs(row["by_activation"]) < 1e-9, unit.name
        if before[concept] and not after[concept] and abs(here - there) > 1e-9:
            read = {link["node"] for row in rows.values() for link in row["inputs"]}
            assert nodes[concept] in {*rows, *read}, concept


def test_what_holds_a_gate_back_is_named() -> None:
    design = basic.inhibition()
    (on, nodes), (off, _) = graph_of(design), graph_of(without(design, "B"))
    answer = contrast(on, off)
    row = answer.tables["features"].row(0, named=True)
    assert (row["node"], row["presence"]) == (nodes["gate"], "only there")
    assert [(link["node"], round(link["weight"], 9)) for link in row["inputs"]] == [(nodes["B"], -1.5)]
    assert "[B] (−1.5)" in " ".join(answer.finding[:2])


@QUIET
@given(PAIRS)
def test_inputs_are_what_makes_a_pre_activation_differ(drawn: tuple[Graph, Graph, str]) -> None:
    one, two, align = drawn
    pair = pair_of(one, two, align)
    for place, (a, b) in enumerate(pair.rows.tolist()):
        if min(a, b) >= 0 and pair.kind[place] == "feature" and pair.one.opened[a] and pair.two.opened[b]:
            z = [float(g.nodes["pre_activation"][row]) for g, row in ((one, a), (two, b))]
            constant = []
            for graph, row in ((one, a), (two, b)):
                name = graph.nodes["node"][row]
                kinds = dict(graph.nodes.select("node", pl.col("kind").cast(pl.String)).iter_rows())
                into = {s: w for (s, t), (w, _) in edges_of(graph).items() if t == name}
                constant.append(sum(w for s, w in into.items() if kinds[s] in ("bias", "rest")))
            change = differences(pair, place)
            assert close(change.sum(), z[0] - z[1] - constant[0] + constant[1], 1 + abs(z[0] - z[1]))


def test_the_swap_that_a_planted_and_needs_is_one_and_predicted_rightly() -> None:
    design = basic.conjunction()
    (on, nodes), (off, _) = graph_of(design), graph_of(without(design, "A"))
    answer = contrast(on, off)
    (row,) = answer.tables["swaps"].to_dicts()
    assert row["swapped"] in (nodes["A"], nodes["gate"])
    assert row["predicted"] == pytest.approx(0.0, abs=1e-6)
    assert row["closed"] == pytest.approx(1.0)
    (said,) = answer.predictions
    assert (set(said.intervention.nodes), said.target) == ({row["swapped"]}, answer.meta["targets"][0])
    assert said.value == pytest.approx(row["predicted"])
    assert answer.meta["swaps"]["enough"]
    assert "The graph predicts that" in " ".join(answer.finding)


def test_swapping_back_an_or_needs_both_inputs() -> None:
    design = basic.disjunction()
    (on, nodes), (off, _) = graph_of(design), graph_of(without(design, "A", "B"))
    answer = contrast(on, off)
    values = answer.meta["swaps"]["values"]
    done = Intervention.of("swap", setting(values))
    target = answer.meta["targets"][0]
    here, there = answer.meta["values"]
    closed = (here - predict(on, [done], targets=[target])[0, 0]) / (here - there)
    assert closed == pytest.approx(answer.tables["swaps"]["closed"][-1])
    assert closed >= 0.8
    for node in values:
        fewer = Intervention.of("fewer", setting({n: v for n, v in values.items() if n != node}))
        left = (here - predict(on, [fewer], targets=[target])[0, 0]) / (here - there)
        assert left < 0.8, "a member that is not needed"
    assert set(values) <= set(nodes.values())


@pytest.mark.parametrize("seed", range(4))
def test_no_member_of_a_swap_can_be_dropped(seed: int) -> None:
    one, two = random_graph(seed, features=6, layers=2), random_graph(seed + 50, features=6, layers=2)
    meta = {"selection": {"kept": 1, "active": 1}}
    one, two = one.with_meta(**meta), two.with_meta(**meta)
    answer = contrast(one, two, target=TARGET)
    values = answer.meta["swaps"]["values"]
    here, there = answer.meta["values"]

    def closed(chosen: Mapping[str, float]) -> float:
        found = predict(one, [Intervention.of("swap", setting(chosen))], targets=[TARGET])
        return float((here - found[0, 0]) / (here - there))

    reached = closed(values)
    if values:
        assert reached == pytest.approx(answer.tables["swaps"]["closed"][-1], abs=1e-6)
    for node in values if answer.meta["swaps"]["enough"] else ():
        assert closed({n: v for n, v in values.items() if n != node}) < 0.8
    for node, value in values.items():
        known = node in two.index
        assert value == (two.nodes["activation"][two.row(node)] if known else 0.0)


def test_a_word_moved_to_another_place_is_told_as_no_word() -> None:
    design = wired.across_positions()
    (on, _), (off, _) = graph_of(design), graph_of(without(design, "A"))
    answer = contrast(on, off, align=[(len(design.tokens) - 1, len(design.tokens) - 1)])
    words = answer.tables["words"]
    assert set(words["word_there"].to_list()) >= {"—"}
    assert "stands opposite" in " ".join(answer.finding)
    assert words["change"].sum() == pytest.approx(answer.meta["difference"], abs=1e-6)


# ---- what is asked


def test_two_outputs_of_one_graph() -> None:
    graph = sample_graph()
    answer = contrast(graph, graph, target="Mary", other_target="John")
    assert answer.question == 'Why " Mary" and not " John"?'
    assert answer.meta["difference"] == pytest.approx(17.42 - 14.57)
    pushes = answer.tables["pushes"]
    direct = [
        {s: w for (s, t), (w, _) in edges_of(graph).items() if t == t_} for t_ in ("logit:Mary", "logit:John")
    ]
    features = set(graph.nodes.filter(kind="feature")["node"])
    up = [{s for s, w in one.items() if w > 0 and s in features} for one in direct]
    assert pushes["features"].to_list() == [len(up[0] - up[1]), len(up[1] - up[0]), len(up[0] & up[1])]
    assert pushes["for the first"][0] == pytest.approx(sum(direct[0][s] for s in up[0] - up[1]))
    assert answer.tables["features"]["by_activation"].abs().max() == 0
    assert "swaps" not in answer.tables
    turned = contrast(graph, graph, target="John", other_target="Mary")
    assert turned.meta["difference"] == pytest.approx(-answer.meta["difference"])


def with_outputs(graph: Graph, *names: str, chances: tuple[float, ...] = ()) -> Graph:
    """The graph with its logits called otherwise."""
    logits = graph.nodes.filter(kind="logit")["node"].to_list()
    new = dict(zip(logits, (f"logit:{name}" for name in names), strict=False))
    nodes = graph.nodes.with_columns(pl.col("node").replace(new))
    values = tuple(graph.edges[column].to_numpy() for column in ("weight", "strength"))
    entries = [
        {"name": f"logit:{name}", "tokens": [f" {name}"], "probability": p}
        for name, p in zip(names, chances or (None,) * len(names), strict=True)
    ]
    return Graph.of(nodes, graph.ends, (values[0], values[1]), {**graph.meta, "targets": entries})


def test_each_way_to_be_asked_for_nothing() -> None:
    one, two = random_graph(1, logits=2), random_graph(2, logits=2)
    both = contrast(
        with_outputs(one, "Austin", "Olympia", chances=(0.9, 0.1)),
        with_outputs(two, "Austin", "Olympia", chances=(0.1, 0.9)),
    )
    assert both.meta["targets"] == ["logit:Austin-Olympia"] * 2
    assert both.meta["comparable"]
    held = contrast(with_outputs(one, "Paris", "Rome"), with_outputs(two, "Berlin", "Paris"))
    assert held.meta["targets"] == ["logit:Paris"] * 2
    turned = contrast(with_outputs(two, "Berlin", "Paris"), with_outputs(one, "Paris", "Rome"))
    assert turned.meta["targets"] == ["logit:Paris"] * 2
    assert turned.meta["difference"] == pytest.approx(-held.meta["difference"])
    own = contrast(with_outputs(one, "Austin", "a"), with_outputs(two, "Olympia", "b"))
    assert own.meta["targets"] == ["logit:Austin", "logit:Olympia"]
    assert not own.meta["comparable"]
    assert own.tables["totals"]["share"].is_null().all()
    commands = [line for line, _ in own.meta["commands"]]
    assert all("circuits attribute" in line for line in commands)
    assert "--target ' Austin' --target ' Olympia'" in commands[0]
    over = contrast(
        with_outputs(one, "Austin", "Olympia"),
        with_outputs(two, "Austin", "Olympia"),
        target=("Olympia", "Austin"),
    )
    assert over.meta["targets"] == ["logit:Olympia-Austin"] * 2


def test_a_feature_is_asked_about_at_its_aligned_place() -> None:
    one, two = random_graph(1, tokens=2, unexpanded=0.0), random_graph(1, tokens=3)
    name = one.nodes.filter(pl.col("kind") == "feature", pl.col("layer") == 1, pl.col("pos") == 0)["node"][0]
    there = shifted(name, 1)
    if there in two.index:
        answer = contrast(one, two, target=name)
        assert answer.meta["targets"] == [name, there]


def test_a_target_outside_the_run_is_refused_with_the_command_that_gets_it() -> None:
    graph = sample_graph()
    with pytest.raises(NotFound, match=r"circuits attribute .*--target ' Paris'"):
        contrast(graph, graph, target="Mary", other_target="Paris")
    with pytest.raises(UsageError, match="top 0"):
        contrast(graph, graph, top=0)


def test_other_dictionaries_are_refused_unless_taken_for_the_same() -> None:
    one = random_graph(1).with_meta(
        dictionary={"fingerprint": "aa", "spec": "one"}, model={"fingerprint": "m", "name": "base"}
    )
    two = random_graph(2).with_meta(
        dictionary={"fingerprint": "bb", "spec": "two"}, model={"fingerprint": "n", "name": "tuned"}
    )
    with pytest.raises(Incompatible, match=r"one \(aa\) and two \(bb\).*--same-features"):
        contrast(one, two)
    answer = contrast(one, same_features(two, one))
    text = " ".join(answer.finding)
    assert "two models" in text
    assert "taken for the same" in text
    assert "in base" in answer.finding[0]
    tuned = two.with_meta(dictionary={"fingerprint": "aa", "spec": "one"})
    assert "of one dictionary" in " ".join(contrast(one, tuned).finding)


def test_what_was_not_kept_is_no_finding() -> None:
    one, two = random_graph(1), random_graph(2)
    lost = next(
        node
        for node in one.nodes.filter(kind="feature")["node"]
        if node in two.index
        and one.nodes["activation"][one.row(node)]
        and two.nodes["activation"][two.row(node)]
    )
    rows = np.array([row for name, row in two.index.items() if name != lost])
    from circuits.query.subject import induced

    two = induced(two, rows)
    settings_ = {"selection": {"name": "ByAttribution", "settings": {"most": 5}, "kept": 5, "active": 9}}
    answer = contrast(one, two.with_meta(**settings_), target=TARGET, top=100)
    text = " ".join(answer.finding)
    assert "Not every active feature was kept" in text
    assert "different selection of features (none and ByAttribution)" in text
    table = {row["node"]: row for row in answer.tables["features"].to_dicts()}
    assert table[lost]["activation"].endswith("vs not kept")
    kept = {"selection": {"name": "AllActive", "kept": 5, "active": 5}}
    sure = contrast(one.with_meta(**kept), two.with_meta(**kept), target=TARGET, top=100)
    assert "Not every active" not in " ".join(sure.finding)
    table = {row["node"]: row for row in sure.tables["features"].to_dicts()}
    assert table[lost]["activation"].endswith("vs off")


# ---- combinations


def hyperedges(*rows: dict) -> pl.DataFrame:
    blank = dict.fromkeys(HYPEREDGE_SCHEMA, None) | {
        "index": "SII",
        "channel": "mlp",
        "estimated": False,
        "order": 2,
    }
    made = [{**blank, "hyperedge": str(i), **row} for i, row in enumerate(rows)]
    return pl.DataFrame(made, schema=HYPEREDGE_SCHEMA)


def told(one: list[dict], two: list[dict]) -> pl.DataFrame:
    graph = random_graph(4, tokens=3)
    first = replace(graph, hyperedges=hyperedges(*one))
    weights = (graph.edges["weight"].to_numpy() * 1.5, graph.edges["strength"].to_numpy() * 1.5)
    other = Graph.of(graph.nodes, graph.ends, weights, graph.meta)
    return contrast(first, replace(other, hyperedges=hyperedges(*two)), target=TARGET).tables["combinations"]


TOKENS = ["tok@0", "tok@1"]


def test_combinations_change_beyond_their_intervals_only() -> None:
    base = {"members": TOKENS, "target": TARGET, "weight": 1.0, "gate": "and"}
    inside = told([base | {"low": 0.8, "high": 1.2}], [base | {"weight": 1.3, "low": 1.1, "high": 1.5}])
    assert not len(inside)
    beyond = told([base | {"low": 0.9, "high": 1.1}], [base | {"weight": 1.3, "low": 1.2, "high": 1.4}])
    assert beyond["how"].to_list() == ["in both"]
    assert beyond["change"][0] == pytest.approx(-0.3)  # one unit of the target is one unit
    kind = told([base], [base | {"gate": "or"}])
    assert kind["kind"].to_list() == ["and vs or"]
    turned = told([base], [base | {"members": TOKENS[::-1]}])
    assert not len(turned)


def test_combinations_appear_only_where_something_is_off() -> None:
    base = {"target": TARGET, "weight": 1.0, "gate": "and"}
    pairs = [base | {"members": TOKENS}, base | {"members": ["tok@0", "tok@2"]}]
    lacking = told(pairs, pairs[:1])
    assert lacking["how"].to_list() == ["not compared"]  # all are on in both: too small, or not asked
    assert lacking["change"].is_null().all()
    design = basic.conjunction()
    (on, nodes), (off, _) = graph_of(design), graph_of(without(design, "A"))
    gate = {"members": [nodes["A"], nodes["B"]], "target": nodes["gate"], "weight": 1.0, "gate": "and"}
    other = {"members": [nodes["B"], "tok@1"], "target": nodes["gate"], "weight": 0.5, "gate": "or"}
    first, second = (replace(g, hyperedges=hyperedges(*rows)) for g, rows in ((on, [gate]), (off, [other])))
    answer = contrast(first, second)
    table = {tuple(sorted(row["members"])): row for row in answer.tables["combinations"].to_dicts()}
    assert table[tuple(sorted(gate["members"]))]["how"] == "only here"
    assert table[tuple(sorted(gate["members"]))]["change"] == pytest.approx(1.0)
    assert "act together" in " ".join(answer.finding)
    assert len(answer.highlight.hyperedges) == 1
    alone = contrast(first, off)
    assert "combinations" not in alone.tables
    assert "computed for one run only" in " ".join(alone.finding)


# ---- the picture


@QUIET
@given(PAIRS)
def test_the_highlight_holds_differences_under_the_first_graphs_names(
    drawn: tuple[Graph, Graph, str],
) -> None:
    one, two, align = drawn
    answer = compared(one, two, align, top=100)
    drawn_ = answer.highlight
    alignment = Alignment.of_graphs(one, two, align)
    first = edges_of(one)
    second = {
        (alignment.renamed(s), alignment.renamed(t)): values for (s, t), values in edges_of(two).items()
    }
    for (source, target), (weight, strength) in edges_of(drawn_).items():
        a, b = first.get((source, target), (0, 0)), second.get((source, target), (0, 0))
        assert close(weight, a[0] - b[0])
        assert close(strength, a[1] - b[1])
    how = drawn_.meta["contrast"]["how"]
    assert set(how) == set(drawn_.nodes["node"])
    for node, state in how.items():
        if state == "only there" and node in one.index:
            assert one.nodes["activation"][one.row(node)] == 0
    assert drawn_.targets == [TARGET]
    assert len(drawn_.meta["prompt"]["tokens"]) == len(alignment.merged())


def test_an_answer_is_one_json_document() -> None:
    answer = contrast(random_graph(1), random_graph(2))
    document = answer.to_dict()
    assert document["meta"]["query"] == "contrast"
    assert document["highlight"]["nodes"]
    assert "circuits.contrast(graph, other" in answer.code


def test_the_picture_tells_the_two_graphs_apart() -> None:
    from matplotlib.colors import to_hex

    from circuits.plot.difference import COLORS, difference

    tokens = (["a", " b", " c"], ["a", " other", " c"])
    one, two = (
        random_graph(seed).with_meta(prompt={"tokens": words})
        for seed, words in zip((1, 2), tokens, strict=True)
    )
    highlight = compared(one, two, top=30).highlight
    axes = difference(highlight)
    how = highlight.meta["contrast"]["how"]
    drawn = {
        str(patch.get_gid()).removeprefix("node:"): to_hex(patch.get_facecolor())
        for patch in axes.patches
        if str(patch.get_gid()).startswith("node:") and "/" in str(patch.get_gid())
    }
    assert len(drawn) > 3
    assert drawn == {node: COLORS[how[node]] for node in drawn}
    assert len(set(drawn.values())) > 1
    texts = [text.get_text() for text in axes.texts]
    assert "b\n(other)" in texts
    assert "more here" in texts
    with pytest.raises(UsageError, match="is no contrast"):
        difference(one)
    with pytest.raises(UsageError, match="Nothing differs"):
        difference(compared(one, one).highlight)


def test_what_was_cut_off_is_a_row_of_its_own() -> None:
    one, whole = random_graph(1), random_graph(2)
    source, target = whole.ends
    kept = np.flatnonzero(np.arange(len(source)) != np.argmax(np.abs(whole.edges["weight"].to_numpy())))
    values = [whole.edges[name].to_numpy()[kept] for name in ("weight", "strength")]
    cut = Graph.of(whole.nodes, (source[kept], target[kept]), (values[0], values[1]), whole.meta)
    words = compared(one, cut).tables["words"]
    assert abs(words.row(-1, named=True)["there"]) > 1e-6
    assert words["change"].sum() == pytest.approx(value_of(one, TARGET) - value_of(cut, TARGET))


def test_what_a_swap_does_not_need_is_put_back() -> None:
    closes = {"abc": 0.9, "bc": 0.85, "ac": 0.5, "ab": 0.7, "b": 0.4, "c": 0.3}

    class Trial(_Trial):
        def __init__(self) -> None:
            """Nothing to prepare: what sets close is written down."""

        def closed(self, sets: list[list[str]]) -> list[float]:
            return [closes["".join(one)] for one in sets]

    assert _without_idle(Trial(), ["a", "b", "c"], 0.8) == ["b", "c"]
