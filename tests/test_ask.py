"""Questions in words: each form, its sentence read back, the nearest form, answers by hand."""

from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_graph import sample_graph
from sample_interactions import sample_interactions

import circuits
from circuits.errors import CircuitsError, NotFound, UsageError
from circuits.graph.concepts import Concept, with_concepts
from circuits.graph.graph import Graph
from circuits.planted import plant
from circuits.query.ask.builder import Asked, ask
from circuits.query.ask.forms import FORMS, SLOTS, nearest
from circuits.query.ask.grammar import joining, plain
from circuits.query.ask.parse import parse
from circuits.query.ask.question import Question, tidy
from circuits.query.ask.questions import (
    Act,
    Breaks,
    Combinations,
    Concepts,
    Contrast,
    Cuts,
    Minimal,
    Needs,
    Paths,
    Similar,
    Unexplained,
    WhatIf,
    Why,
)

OFF = ("set", 0.0)


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("why", Why()),
        ("Why?", Why()),
        ("why the output", Why()),
        ("why ' Austin'", Why('" Austin"')),
        ("WHY “ Austin” ?", Why('" Austin"')),
        ("why Austin and not Dallas", Why("Austin", "Dallas")),
        ("why Austin not Dallas", Why("Austin", "Dallas")),
        ("why Austin rather than Dallas", Why("Austin", "Dallas")),
        ("why does the model say Austin over Dallas top 3", Why("Austin", "Dallas", 3)),
        ("why over Dallas", Why(None, "Dallas")),
        ('why " and"', Why('" and"')),
        ("why logit:Austin", Why("logit:Austin")),
        ("what explains 12/4051@7", Why("12/4051@7")),
        ("which pairs drive Austin", Combinations("Austin", 2)),
        ("which pairs drive Austin and of what kind?", Combinations("Austin", 2)),
        ("which triples drive the output", Combinations(None, 3)),
        ("what combinations explain Austin of kind AND top 4", Combinations("Austin", None, "and", 4)),
        ("does texas need 12/4051 for Austin", Needs("texas", "12/4051", "Austin")),
        ("Does texas depend on “the words of, is”?", Needs("texas", '"the words of, is"')),
        ("what does texas need", Needs("texas")),
        ("what does texas need for Austin", Needs("texas", None, "Austin")),
        ("what breaks if A and B are off", Breaks(("A", "B"))),
        ("what breaks if A, tok@3,err1@3 and B are switched off for X",
         Breaks(("A", '"tok@3,err1@3"', "B"), "X")),
        ("what breaks without A", Breaks(("A",))),
        ("what if A is off", WhatIf((Act(("A",), *OFF),))),
        ("what if A is set to 0", WhatIf((Act(("A",), *OFF),))),
        ("what if A is set to 0.5", WhatIf((Act(("A",), "set", 0.5),))),
        ("what if A and B are doubled, and C is set to −3", WhatIf(
            (Act(("A", "B"), "scale", 2.0), Act(("C",), "set", -3.0)))),
        ("what if A is lowered by 1.5 for X", WhatIf((Act(("A",), "add", -1.5),), "X")),
        ("what happens to X when A is halved", WhatIf((Act(("A",), "scale", 0.5),), "X")),
        ("what happens if A is tripled", WhatIf((Act(("A",), "scale", 3.0),))),
        ("paths", Paths()),
        ("top 5 paths from Dallas to Austin", Paths("Austin", "Dallas", None, 5)),
        ("paths from Dallas to Austin through layer 3", Paths("Austin", "Dallas", (3, 3))),
        ("paths from Dallas to the output through layers 3 to 5 top 7", Paths(None, "Dallas", (3, 5), 7)),
        ("the strongest paths to Austin via layer 3..5", Paths("Austin", None, (3, 5))),
        ("what carries Dallas to Austin", Cuts("Austin", "Dallas")),
        ("what carries Austin", Cuts("Austin")),
        ("cut Austin from Dallas by edges", Cuts("Austin", "Dallas", "edges")),
        ("smallest set for 80 % of Austin", Minimal("Austin", 0.8)),
        ("what is the smallest set that suffices for Austin", Minimal("Austin", 0.8)),
        ("smallest sufficient set for 0.35 of the output", Minimal(None, 0.35)),
        ("what is necessary for Austin", Minimal("Austin", 0.8, "necessary")),
        ("what is necessary for 7 percent of Austin", Minimal("Austin", 0.07, "necessary")),
        ("what is like 12/4051@7", Similar("12/4051@7")),
        ("what is similar to 12/4051@7 in run ../other top 3", Similar("12/4051@7", "../other", 3)),
        ("how similar is this run to b", Similar(None, "b")),
        ("what is unexplained", Unexplained()),
        ("how much is unexplained of Austin", Unexplained("Austin")),
        ("compare with runs/seattle", Contrast("runs/seattle")),
        ("compare with seattle aligned by start", Contrast("seattle", align="start")),
        ("compare Austin with Olympia in run seattle", Contrast("seattle", "Austin", "Olympia")),
        ("how does this differ from seattle?", Contrast("seattle")),
        ("which concepts are there", Concepts()),
        ('why x=token:" a b"|pos:3', Why('x=token:" a b"|pos:3')),
        ("why  two   words", Why("two words")),
        ("why isn't", Why("\"isn't\"")),
    ],
)  # fmt: skip
def test_each_form_is_the_question_it_says(sentence: str, question: Question) -> None:
    assert parse(sentence) == question
    assert parse(question.text()) == question


def filled(way: str) -> str:
    """A form with something in its slots."""
    values = {"X": "Mary", "Y": "John", "A": "store", "B": "9/88@9", "N": "3", "P": "45%", "L": "3..5"}
    return " ".join(values.get(word, "other/run" if word == "RUN2" else word) for word in way.split())


WAYS = [way for form in FORMS for way in form.ways]


@pytest.mark.parametrize("way", WAYS)
def test_every_form_listed_can_be_asked_and_is_nearest_to_itself(way: str) -> None:
    question = parse(filled(way))
    near = nearest(filled(way))
    assert near.cost == pytest.approx(0)
    assert parse(near.text) == question


MISSPELT = [
    (way, place)
    for way in WAYS
    for place, word in enumerate(way.split())
    if word not in SLOTS and len(word) > 3
]


@pytest.mark.parametrize(("way", "place"), MISSPELT)
def test_two_letters_swapped_in_a_word_of_a_form_lead_back_to_it(way: str, place: int) -> None:
    words = filled(way).split()
    right, word = parse(" ".join(words)), words[place]
    words[place] = word[0] + word[2] + word[1] + word[3:] if word[1] != word[2] else word[:-2] + word[:-3:-1]
    sentence = " ".join(words)
    try:
        meant = parse(sentence)
    except UsageError as refusal:
        assert repr(words[place]) in str(refusal) or "at its end" in str(refusal) or "at '" in str(refusal)  # noqa: PT017
    else:
        assert meant != right  # a name has swallowed the word; asking it then says what was meant
    assert parse(nearest(sentence).text) == right


def test_a_refusal_says_where_what_was_expected_and_the_nearest_question() -> None:
    with pytest.raises(UsageError) as refused:
        parse("which pairs drvie ' Austin'")
    assert str(refused.value) == (
        "This cannot be parsed: at 'drvie' 'drive' was expected. Nearest question:"
        ' which pairs drive " Austin"'
    )


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("", "No question"),
        (" ?", "No question"),
        ('why "Austin', "the quotation mark before 'Austin' is not closed. Nearest question: why Austin"),
        (
            "why state when it rains",
            "'over' or 'top' was expected (if it belongs to a name, put the name in quotes)",
        ),
        ("does Dallas", "at its end 'need' was expected. Nearest form: does A need B"),
        ("what breaks if", "Nearest form: what breaks if A is off"),
        ("compare", "Nearest form: compare with RUN2"),
        ("paths through layer 9..2", "Layers 9..2 run backwards"),
        ("smallest set for 120% of X", "1.2 is no share"),
        ("why top 0", "The top 0 were asked for"),
        ("what if A is set to 1e999", "cannot be changed by inf"),
        ("why " + "x" * 3000, "3004 characters"),
    ],
)
def test_what_is_no_question_is_told_in_a_sentence(sentence: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(sentence)
    assert said in str(refused.value)


ODD = ["logit:Mary", "12/4051@7", 'token:" a b"', "x=token:Mary|pos:3", '"', "' '", "a,b", "a.", "why?"]
names = st.text(min_size=1, max_size=8).filter(str.strip) | st.sampled_from([*sorted(joining()), *ODD])
maybe = st.none() | names
counts = st.integers(1, 999)
several = st.lists(names, min_size=1, max_size=4).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
layers = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))
KINDS = [None, "and", "or", "inhibit", "xor", "additive", "other", "undecided"]
PARTS = {
    Why: (maybe, maybe, counts),
    Combinations: (maybe, st.sampled_from([2, 3, None]), st.sampled_from(KINDS), counts),
    Needs: (names, maybe, maybe),
    Breaks: (several, maybe),
    Paths: (maybe, maybe, st.none() | layers, counts),
    Cuts: (maybe, maybe, st.sampled_from(["nodes", "edges"])),
    Minimal: (
        maybe,
        st.floats(0, 1, exclude_min=True, allow_subnormal=False),
        st.sampled_from(["sufficient", "necessary"]),
    ),
    Similar: (names, maybe, counts),
    Unexplained: (maybe,),
    Contrast: (names, maybe, maybe, st.sampled_from(["start", "end"]), counts),
    Concepts: (),
}
# questions are made in the tests: the run-time type checker uses `random`, which strategies must not
MADE = st.one_of(*(st.tuples(st.just(kind), st.tuples(*parts)) for kind, parts in PARTS.items()))
acts = st.lists(st.tuples(several, st.sampled_from(["set", "scale", "add"]), numbers), min_size=1, max_size=3)


def read_back(question: Question) -> None:
    assert parse(question.text()) == question
    assert parse(f"{question.text()} ?") == question


@given(MADE)
def test_the_sentence_of_a_question_is_read_as_the_same_question(made: tuple[type, tuple]) -> None:
    read_back(made[0](*made[1]))


@given(acts, maybe)
def test_the_sentence_of_what_is_done_is_read_as_the_same(done: list[tuple], target: str | None) -> None:
    read_back(WhatIf(tuple(Act(*one) for one in done), target))


@given(names)
def test_a_name_is_tidied_once(name: str) -> None:
    assert tidy(tidy(name)) == tidy(name)


GRAPH = with_concepts(sample_interactions(), [Concept("giving", ("3/15@10", "9/1311@10"))])
WORDS = st.sampled_from([*sorted(joining()), "Mary", '" John"', "9/88@9", "3", "50%", ",", '"', "'", "?"])


@given(st.text(max_size=40) | st.lists(WORDS, max_size=10).map(" ".join))
def test_any_text_is_a_question_or_a_refusal_in_one_sentence(text: str) -> None:
    try:
        question = parse(text)
    except CircuitsError as refusal:
        assert len(str(refusal)) > 20  # noqa: PT017 - either outcome is right
    else:
        assert parse(question.text()) == question


def test_a_misspelt_word_that_a_name_swallowed_is_offered_when_the_name_is_nothing() -> None:
    with pytest.raises(
        NotFound, match=r"No target 'Mary nto John'.* Or was the question: why Mary not John\?"
    ):
        ask(GRAPH, "why Mary nto John").answer()
    for far in ("why Maryland", "why Zorro nto something somewhere nearby"):
        with pytest.raises(NotFound) as refused:
            ask(GRAPH, far).answer()
        assert "Or was" not in str(refused.value)


def test_calls_and_words_give_the_same_question() -> None:
    asking = ask(GRAPH)
    pairs = [
        (asking.why(" Mary").over(" John").top(5), "why ' Mary' not ' John' top 5"),
        (asking.pairs("Mary", kind="and"), "which pairs drive Mary of kind and"),
        (asking.triples(), "which triples drive the output"),
        (asking.combinations("Mary").top(2), "which combinations drive Mary top 2"),
        (asking.needs("store", "giving", target="Mary"), "does store need giving for Mary"),
        (asking.breaks("store", "giving"), "what breaks if store and giving are off"),
        (asking.what_if(Act(("store",), "scale", 2.0)).to("Mary"),
         "what happens to Mary if store is doubled"),
        (asking.paths(source="store").to("Mary").through(3, 5).top(4),
         "paths from store to Mary through layers 3-5 top 4"),
        (asking.paths().through(3), "paths through layer 3"),
        (asking.cuts("Mary").source("store").by("edges"), "what carries store to Mary by edges"),
        (asking.smallest("Mary").share(0.5), "smallest set for 50% of Mary"),
        (asking.smallest("Mary", kind="necessary"), "what is necessary for Mary"),
        (asking.similar("9/88@9", run="b"), "what is like 9/88@9 in run b"),
        (asking.unexplained("Mary"), "what is unexplained of Mary"),
        (asking.compare("b").aligned("start"), "compare with b aligned by start"),
        (asking.concepts(), "which concepts are there"),
    ]  # fmt: skip
    for called, sentence in pairs:
        assert called.question == parse(sentence) == ask(GRAPH, sentence).question
        assert called.text() == parse(sentence).text()


def test_a_call_that_means_nothing_to_a_question_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\.through\(…\) means nothing to this question \(why Mary\)"):
        ask(GRAPH).why("Mary").through(3)


def test_printing_a_question_prints_its_answer() -> None:
    assert str(ask(GRAPH, "why Mary")) == str(circuits.why(GRAPH, "Mary"))
    assert repr(ask(GRAPH, "why ' Mary'")) == "Asked('why \" Mary\"')"
    assert isinstance(ask(GRAPH, Why("Mary")), Asked)


def test_why_not_is_the_difference_of_two_outputs() -> None:
    answer = ask(GRAPH, "why Mary and not John?").answer()
    assert answer.meta["over"] == "logit:John"
    assert answer.meta["value"] == pytest.approx(17.42 - 14.57)


@pytest.mark.parametrize(("which", "order"), [("pairs", 2), ("triples", 3), ("combinations", None)])
def test_combinations_are_those_of_the_run_by_size_and_kind(which: str, order: int | None) -> None:
    held = GRAPH.hyperedges.filter(pl.col("via").is_null() & (pl.col("order") >= 2))
    reaching = {tuple(sorted(m)) for m, t in held.select("members", "target").iter_rows()}
    answer = ask(GRAPH, f"which {which} drive Mary top 99").answer()
    table = answer.tables["combinations"]
    found = {tuple(sorted(members)) for members in table["members"]}
    assert found <= reaching
    assert found
    assert set(table["order"]) == ({order} if order else {2, 3})
    assert table["share"].drop_nulls().is_sorted(descending=True)
    for kind in set(table["kind"]):
        if kind != "undecided":
            some = ask(GRAPH, f"which {which} drive Mary of kind {kind} top 99").answer()
            assert some.tables["combinations"]["members"].to_list() == [
                m for m, k in table.select("members", "kind").iter_rows() if k == kind
            ]
    assert answer.tables["kinds"]["count"].sum() == len(table)


def test_a_run_without_interactions_says_how_to_compute_them() -> None:
    with pytest.raises(UsageError, match=r"circuits interact run/x computes them"):
        ask(sample_graph().with_meta(run="run/x"), "which pairs drive Mary").answer()


def planted(name: str) -> tuple[Graph, circuits.planted.Planted]:
    model = plant(name)
    graph = circuits.attribute(model.trace)
    return with_concepts(graph, [Concept(n, nodes) for n, nodes in model.concepts.items()]), model


@pytest.mark.parametrize(
    "name", ["and", "or", "xor", "and-not", "majority", "and-of-three", "nested-and", "additive"]
)
def test_what_if_is_the_planted_table(name: str) -> None:
    graph, model = planted(name)
    concepts = list(model.concepts)
    for off in itertools.chain.from_iterable(itertools.combinations(concepts, k) for k in range(1, 4)):
        listed = " and ".join(f'"concept:{one}"' for one in off)
        answer = ask(graph, f"what if {listed} are off").answer()
        on = sum(1 << bit for bit, one in enumerate(concepts) if one not in off)
        before, after = answer.tables["outputs"].select("before", "after").row(0)
        assert after == pytest.approx(model.truth.table[on], abs=1e-6)
        assert before == pytest.approx(model.truth.table[-1], abs=1e-6)


def test_what_if_sets_scales_and_adds() -> None:
    graph, model = planted("and")
    node = model.concepts["A"][0]
    value = graph.nodes["activation"][graph.row(node)]
    wholes = [f"{node} is set to {value}", f"{node} is scaled by 1", f"{node} is raised by 0"]
    halves = [f"{node} is set to {value / 2}", f"{node} is halved", f"{node} is lowered by {value / 2}"]
    changes = [
        {round(ask(graph, f"what if {done}").answer().tables["outputs"]["change"][0], 6) for done in same}
        for same in (wholes, halves)
    ]
    assert changes[0] == {0.0}
    assert len(changes[1]) == 1
    assert changes[1] != {0.0}


def test_the_concepts_of_a_run_are_listed() -> None:
    table = ask(GRAPH, "which concepts are there").answer().tables["concepts"]
    assert table.select("concept", "nodes").rows() == [("giving", 2)]
    assert "no concepts" in ask(sample_graph(), "the concepts").answer().finding[0]


def test_answers_say_the_same_in_python() -> None:
    for sentence in ("which pairs drive Mary", "what if store is off", "which concepts are there"):
        asked = ask(GRAPH, sentence)
        line = asked.answer().code.splitlines()[-1]
        assert line == f"print(circuits.ask(graph, {asked.text()!r}).answer())"


def test_spaces_count_in_quotes_alone() -> None:
    assert plain('why   "a  b" ?') == 'why "a  b"'
