"""Concepts: which nodes a spec names, told by a literal reading of the node table; what is refused."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_graph import sample_graph

import circuits
from circuits.errors import CircuitsError, NotFound, UsageError
from circuits.graph.concepts import Concept, concepts, known, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.grouping import automatic
from circuits.graph.specs import split

GRAPH = sample_graph()
ROWS = list(GRAPH.nodes.iter_rows(named=True))
TOKENS = GRAPH.meta["prompt"]["tokens"]
TARGET = GRAPH.targets[0]
PLACED = ("token", "position", "feature")


def where(rule: object) -> tuple[str, ...]:
    return tuple(row["node"] for row in ROWS if rule(row))  # type: ignore[operator]


def at(*places: int) -> tuple[str, ...]:
    return where(lambda r: r["kind"] in PLACED and r["pos"] in places)


def nodes(spec: str, graph: Graph = GRAPH) -> tuple[str, ...]:
    return Concept.of(graph, f"x={spec}").nodes


MARY = [place for place, token in enumerate(TOKENS) if token.strip() == "Mary"]
LABEL = next(row["label"] for row in ROWS if row["label"])
FEATURE = next(row for row in ROWS if row["kind"] == "feature")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (FEATURE["node"], (FEATURE["node"],)),
        ("tok@3", ("tok@3",)),
        ("words", where(lambda r: r["kind"] == "token")),
        ("words&pos:3", ("tok@3",)),
        (f"{FEATURE['layer']}/{FEATURE['feature']}", where(
            lambda r: (r["layer"], r["feature"]) == (FEATURE["layer"], FEATURE["feature"]))),
        ("token:Mary", at(*MARY)),
        ('token:"Mary"', at(*MARY)),
        ("pos:3", at(3)),
        ("pos:3-5", at(3, 4, 5)),
        ("pos:3,tok@5", (*at(3), "tok@5")),
        ("layer:16-23", where(lambda r: r["kind"] == "feature" and 16 <= r["layer"] <= 23)),
        ("layer:16-23&pos:13|tok@1", (
            "tok@1", *where(lambda r: r["kind"] == "feature" and 16 <= r["layer"] <= 23 and r["pos"] == 13))),
        ("label:*e*", where(lambda r: r["label"] and fnmatch.fnmatch(r["label"].lower(), "*e*"))),
        (f'label:"{LABEL}"', where(lambda r: r["label"] == LABEL)),
        (f'label:"{LABEL.upper()}"', where(lambda r: r["label"] == LABEL)),
    ],
)  # fmt: skip
def test_a_spec_names_the_nodes_it_says(spec: str, expected: tuple[str, ...]) -> None:
    assert expected
    assert nodes(spec) == tuple(sorted(expected, key=GRAPH.row))


def test_a_word_of_several_tokens_is_found_by_its_spelling() -> None:
    pair = TOKENS[3] + TOKENS[4]
    assert nodes(f'token:"{pair}"') == nodes(f'token:"{pair.strip()}"') == nodes("pos:3-4")


@given(st.lists(st.sampled_from([f"tok@{p}" for p in range(len(TOKENS))]), min_size=1, max_size=6), st.data())
def test_parts_are_joined_in_any_order_and_with_either_sign(parts: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(parts))
    assert nodes("|".join(parts)) == nodes(" , ".join(shuffled)) == tuple(sorted(set(parts), key=GRAPH.row))


def test_quotes_keep_signs_as_they_are() -> None:
    assert split('token:" a|b,c"|tok@3,x&y', "|,") == ['token:" a|b,c"', "tok@3", "x&y"]
    comma = next(place for place, token in enumerate(TOKENS) if token == ",")
    assert nodes('token:","') == tuple(sorted(at(comma), key=GRAPH.row))


@pytest.mark.parametrize(
    ("given_", "kind", "sentence"),
    [
        (["x=12/999999@1"], NotFound, "No node '12/999999@1' among the"),
        (["x=99/1"], NotFound, "No feature 99/1 is on at any position"),
        (["x=token:Marie"], NotFound, "No token 'Marie' in the prompt .*Did you mean 'Mary'"),
        (["x=token:"], UsageError, "names no word"),
        (["x=label:zzz"], NotFound, "No label matches 'zzz' among those of"),
        (["x=pos:99"], NotFound, "positions go from 0 to"),
        (["x=layer:99"], NotFound, "layers go from"),
        (["x=layer:5-2"], UsageError, "runs backwards: write layer:2-5"),
        (["x=layer:two"], UsageError, "no number"),
        (["x=lable:two"], UsageError, "Did you mean 'label'"),
        (["x=tok@1&tok@2"], NotFound, r"tok@1 \(1 nodes\) and tok@2 \(1 nodes\) have no node in"),
        (["x="], UsageError, "Concept x is empty"),
        (["=tok@1"], UsageError, "without a name"),
        (["tok@1=tok@1"], UsageError, "the name of a node"),
        (["x=bias:own"], UsageError, "bias:own, a constant"),
        (["x=rest"], UsageError, "rest, a constant"),
        ([f"x={TARGET}"], UsageError, f"names the target {TARGET}"),
        (["x"], UsageError, "'x' is no concept: write NAME=SPEC"),
        (["x=tok@1", "x=tok@2"], UsageError, "Two concepts are called x"),
        (["x=tok@1,tok@2,tok@3", "y=tok@2|tok@3"], UsageError, "x and y overlap in tok@2, tok@3"),
        (["auto:1"], UsageError, "at least 2 groups"),
    ],
)  # fmt: skip
def test_what_names_nothing_or_too_much_is_refused(given_: list[str], kind: type, sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        concepts(GRAPH, given_)


def test_a_pattern_that_is_only_part_of_a_label_is_told_how_to_write_it() -> None:
    with pytest.raises(NotFound, match=r"contain it: write label:\*"):
        concepts(GRAPH, [f"x=label:{LABEL[1:4]}"])


def test_a_feature_that_is_asked_about_cannot_be_among_its_causes() -> None:
    name = FEATURE["node"]
    with pytest.raises(UsageError, match="names the target"):
        concepts(GRAPH, [f"x={name}"], targets=[name])
    assert concepts(GRAPH, [f"x={name}"])[0].nodes == (name,)


def test_a_graph_without_words_says_how_else() -> None:
    bare = circuits.Graph(GRAPH.nodes, GRAPH.edges, GRAPH.hyperedges, {})
    with pytest.raises(NotFound, match="use pos:3"):
        concepts(bare, ["x=token:Mary"])


def test_concepts_are_kept_in_the_node_table_and_called_by_name(tmp_path: Path) -> None:
    made = concepts(GRAPH, ["b=tok@4|tok@2", "a=pos:7"])
    graph = with_concepts(GRAPH, made)
    assert set(known(graph)) == set(made)
    circuits.save_run(graph, tmp_path / "run")
    again = circuits.load_run(tmp_path / "run")
    assert concepts(again, ["b", "a"]) == made
    assert nodes("b|tok@1", again) == ("tok@1", "tok@2", "tok@4")
    with pytest.raises(NotFound, match=r"No concept 'aa' among the 2 of this graph\. Did you mean 'a'"):
        concepts(again, ["aa"])
    with pytest.raises(NotFound, match="Nothing is called 'bb'"):
        concepts(again, ["x=bb"])


def test_a_new_concept_takes_the_place_of_those_it_overlaps_and_of_its_namesake() -> None:
    graph = with_concepts(GRAPH, concepts(GRAPH, ["a=tok@1,tok@2", "b=tok@3", "c=tok@5"]))
    graph = with_concepts(graph, concepts(graph, ["d=tok@2", "b=tok@4"]))
    assert {one.name: one.nodes for one in known(graph)} == {
        "b": ("tok@4",),
        "c": ("tok@5",),
        "d": ("tok@2",),
    }


def test_concepts_made_by_programs_are_checked_and_put_in_order() -> None:
    assert concepts(GRAPH, [Concept("x", ("tok@3", "tok@1", "tok@3"))])[0].nodes == ("tok@1", "tok@3")
    with pytest.raises(NotFound, match="No node 'tok@99'"):
        concepts(GRAPH, [Concept("x", ("tok@99",))])
    with pytest.raises(CircuitsError, match="empty"):
        Concept("x", ())


def scored() -> Graph:
    """Tested labels on all features of three positions, the others' provisional; influence 1 for most."""
    label = (
        pl.when(pl.col("pos").is_in([7, 13]) & (pl.col("kind") == "feature"))
        .then(pl.lit("names"))
        .otherwise(pl.when(pl.col("kind") == "feature").then(pl.lit("→ x")))
    )
    share = pl.when(pl.col("pos") == 0).then(0.0).otherwise(1.0)
    return GRAPH.with_nodes(label=label, influence=share)


def test_grouping_is_by_label_and_place_the_largest_first() -> None:
    groups = automatic(scored(), "auto:100")
    rows = [r for r in ROWS if r["kind"] in PLACED and r["pos"] != 0]
    expected: dict[tuple[int, bool], set[str]] = {}
    for row in rows:
        tested = row["kind"] == "feature" and row["pos"] in (7, 13)
        expected.setdefault((row["pos"], tested), set()).add(row["node"])
    assert {frozenset(nodes) for _, nodes in groups} == {frozenset(nodes) for nodes in expected.values()}
    sizes = [len(nodes) for _, nodes in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert TOKENS.count(TOKENS[13]) > 1  # so that the place is added
    assert f"names at {TOKENS[13].strip()}@13" in {name for name, _ in groups}
    assert "Mary" in {name for name, _ in groups}
    assert len({name for name, _ in groups}) == len(groups)
    assert automatic(scored(), "auto:3") == groups[:3]


def test_grouping_leaves_what_belongs_elsewhere() -> None:
    graph = scored()
    made = concepts(graph, ["mine=tok@3|tok@5", "auto:100"])
    assert made[0].nodes == ("tok@3", "tok@5")
    assert not {"tok@3", "tok@5"} & {node for one in made[1:] for node in one.nodes}
    everything = Concept("all", tuple(r["node"] for r in ROWS if r["kind"] in PLACED))
    with pytest.raises(NotFound, match="left to group"):
        concepts(graph, [everything, "auto"])
