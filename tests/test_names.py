"""Names: what a text means, by a literal reading of the node table; what is refused, with what hint."""

from __future__ import annotations

import string

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_graph import sample_graph

from circuits.errors import CircuitsError, NotFound, UsageError
from circuits.graph.concepts import Concept, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.names import QUOTES, _by_label, quoted, resolve, resolve_target, unquoted

GRAPH = sample_graph()
ROWS = list(GRAPH.nodes.iter_rows(named=True))
TOKENS = GRAPH.meta["prompt"]["tokens"]
GIVING = with_concepts(GRAPH, [Concept("giving", ("3/15@10", "9/1311@10"))])


def where(rule: object) -> tuple[str, ...]:
    return tuple(row["node"] for row in ROWS if rule(row))  # type: ignore[operator]


def word(*texts: str) -> tuple[str, ...]:
    placed = ("token", "position", "feature")
    return where(lambda r: r["kind"] in placed and TOKENS[r["pos"]] in texts)


def labelled(label: str) -> tuple[str, ...]:
    return where(lambda r: r["kind"] == "feature" and (r["label"] or "").lower() == label.lower())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12/9@3", None),
        ("9/88@9", ("9/88@9",)),
        (" tok@3 ", ("tok@3",)),
        ("err14@13", ("err14@13",)),
        ("logit:Mary", ("logit:Mary",)),
        ("0/822", ("0/822@3", "0/822@9")),
        ('"0/822"', ("0/822@3", "0/822@9")),
        ("giving", ("3/15@10", "9/1311@10")),
        ("concept:giving", ("3/15@10", "9/1311@10")),
        ("x=9/88@9,tok@3", ("tok@3", "9/88@9")),
        ("9/88@9 | tok@3", ("tok@3", "9/88@9")),
        ("token:store", word(" store")),
        ('" store"', word(" store")),
        ("' store'", word(" store")),
        ("“ store”", word(" store")),
        ('"store"', word(" store")),
        ("store", word(" store")),
        ("store|giving", (*word(" store"), "3/15@10", "9/1311@10")),
        ("to", word(" to")),
        ("to & layer:13", where(lambda r: r["layer"] == 13 and r["kind"] == "feature" and r["pos"] == 13)),
        ('" John"@9', where(lambda r: r["pos"] == 9 and r["kind"] in ("token", "feature"))),
        ("John@9", where(lambda r: r["pos"] == 9 and r["kind"] in ("token", "feature"))),
        ('0/822 at " John"@9', ("0/822@9",)),
        ('"9/88@9"', ("9/88@9",)),
        ('"x=9/88@9,tok@3"', ("tok@3", "9/88@9")),
        (r'"token:\" store\""', word(" store")),
        ("0/822 at John", ("0/822@3", "0/822@9")),
        ('13/61 at " gave"', ("13/61@10",)),
        ("' John'", word(" John")),
        ("Repeated NAME", labelled("repeated name")),
        ("label:*name*", where(lambda r: r["kind"] == "feature" and "name" in (r["label"] or ""))),
        ("store, shop", labelled("store, shop")),
        ("and (joining names)", labelled("and (joining names)")),
        ("determiner", labelled("the (determiner next)")),
        ("layer:13", where(lambda r: r["layer"] == 13 and r["kind"] == "feature")),
        ("words", where(lambda r: r["kind"] == "token")),
    ],
)  # fmt: skip
def test_a_text_means_the_nodes_the_table_says(text: str, expected: tuple[str, ...] | None) -> None:
    if expected is None:
        with pytest.raises(NotFound):
            resolve(GIVING, text)
        return
    assert expected
    assert sorted(resolve(GIVING, text).nodes) == sorted(set(expected))


def test_nodes_come_in_the_tables_order_each_once_under_the_name_that_was_written() -> None:
    found = resolve(GIVING, '" store"')
    assert (found.name, list(found.nodes)) == ("store", sorted(found.nodes, key=GRAPH.row))
    assert resolve(GIVING, "determiner").name == "the (determiner next)"
    assert resolve(GIVING, "x=giving").name == "x"
    assert resolve(GIVING, "concept:giving").name == "giving"
    assert resolve(GIVING, "9/88@9").name == "9/88@9"


def test_a_concept_is_its_own_meaning_its_nodes_checked() -> None:
    assert resolve(GRAPH, Concept("two", ("9/88@9", "tok@3"))).nodes == ("tok@3", "9/88@9")
    with pytest.raises(NotFound, match="9/89@9"):
        resolve(GRAPH, Concept("two", ("9/89@9",)))


def test_a_word_that_is_a_concept_too_is_refused_with_how_to_write_either() -> None:
    graph = with_concepts(GRAPH, [Concept("store", ("9/88@9",))])
    with pytest.raises(UsageError, match="store means 2 things") as refused:
        resolve(graph, "store")
    assert "concept:store" in str(refused.value)
    assert '"store"' in str(refused.value)
    assert resolve(graph, "concept:store").nodes == ("9/88@9",)
    assert resolve(graph, '"store"').nodes == tuple(word(" store"))


def test_meanings_with_the_same_nodes_are_one() -> None:
    store = Concept("store", resolve(GRAPH, "token:store").nodes)
    assert resolve(with_concepts(GRAPH, [store]), "store").nodes == store.nodes


def test_words_in_several_labels_are_refused_with_the_labels_and_one_way_to_mean_all() -> None:
    with pytest.raises(UsageError, match=r"first names means \d things") as refused:
        resolve(GRAPH, "first names")
    assert 'label:"female first names"' in str(refused.value)
    assert "label:*first names*" in str(refused.value)


@pytest.mark.parametrize("label", sorted({r["label"] for r in ROWS if r["label"] and '"' not in r["label"]}))
def test_every_label_is_found_by_the_way_an_ambiguity_offers(label: str) -> None:
    changed = f"{label} [a*b?]"
    graph = GRAPH.with_nodes(
        label=pl.when(pl.col("label") == label).then(pl.lit(changed)).otherwise(pl.col("label"))
    )
    assert resolve(graph, _by_label(changed)).nodes == labelled(label)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Jonh", NotFound, "Did you mean 'John'"),
        ("storre", NotFound, "Did you mean 'store'"),
        ("givin", NotFound, "Did you mean 'giving'"),
        ("repeated nam", NotFound, "Did you mean 'repeated name'"),
        ("9/88@8", NotFound, "9/88@9"),
        ("9/89", NotFound, "No feature 9/89"),
        ("Dallas", NotFound, "needs a run of its own"),
        ("her", NotFound, "write logit:her where an output is meant"),
        ("", UsageError, "empty"),
        ("  ", UsageError, "empty"),
        ("John", UsageError, 'label:"John" (2 nodes)'),
        ("Maria", NotFound, "Did you mean"),
        ("rest", UsageError, "constant"),
        ("bias:own", UsageError, "constant"),
        ("place:3", NotFound, "Nothing is called place:3"),
        ("pos:99", NotFound, "positions go from"),
        ("giving & store", NotFound, "no node in common"),
        ("x=Dalas", NotFound, "Dalas"),
    ],
)
def test_what_means_nothing_is_refused_with_what_comes_near(text: str, kind: type, said: str) -> None:
    with pytest.raises(kind) as refused:
        resolve(GIVING, text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("logit:Mary", "logit:Mary"),
        ("Mary", "logit:Mary"),
        ('" Mary"', "logit:Mary"),
        ("' Mary'", "logit:Mary"),
        ("“ Mary”", "logit:Mary"),
        ('"Mary"', "logit:Mary"),
        ("9/88@9", "9/88@9"),
        ("9/88", "9/88@9"),
        ('"9/88@9"', "9/88@9"),
        ('"logit:Mary"', "logit:Mary"),
        ('9/88 at " John"', "9/88@9"),
        ("repeated name", "9/88@9"),
        ("tok@3", "tok@3"),
    ],
)
def test_a_target_is_one_node(text: str, node: str) -> None:
    assert resolve_target(GIVING, text) == node


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("Maria", NotFound, "No target 'Maria' in this graph. Did you mean 'logit:Mary'"),
        ("Maria", NotFound, "John gave a drink to' --target ' Maria' -o NEW"),
        ("store", NotFound, "It is a word of the prompt"),
        ("0/822", UsageError, "0/822 is 2 nodes: ask about one, 0/822@3, 0/822@9"),
        ("9/88@8", NotFound, "9/88@9"),
        ("giving", UsageError, "3/15@10, 9/1311@10"),
        ("", UsageError, "empty"),
    ],
)
def test_what_is_no_one_target_is_refused(text: str, kind: type, said: str) -> None:
    with pytest.raises(kind) as refused:
        resolve_target(GIVING, text)
    assert said in str(refused.value)


def two_spellings() -> Graph:
    """The sample graph whose first two outputs are Mary with and without a leading space, as extraction names
    them, and which has their difference too."""
    names = {"logit:Mary": "logit:Mary#7", "logit:the": "logit:Mary#8"}
    rename = pl.col("node").replace(names)
    nodes = GRAPH.nodes.with_columns(rename)
    source, target = GRAPH.ends
    values = (GRAPH.edges["weight"].to_numpy(), GRAPH.edges["strength"].to_numpy())
    targets = [{"name": "logit:Mary#7", "tokens": [" Mary"]}, {"name": "logit:Mary#8", "tokens": ["Mary"]}]
    return Graph.of(nodes, (source, target), values, {**GRAPH.meta, "targets": targets})


def test_outputs_that_differ_by_a_space_are_told_apart_in_quotes_and_else_refused() -> None:
    graph = two_spellings()
    assert resolve_target(graph, '" Mary"') == "logit:Mary#7"
    assert resolve_target(graph, '"Mary"') == "logit:Mary#8"
    with pytest.raises(UsageError, match=r"Mary means 2 outputs: logit:Mary#7 .* logit:Mary#8"):
        resolve_target(graph, "Mary")


def test_a_difference_is_found_by_its_two_tokens() -> None:
    graph = two_spellings().with_meta(targets=[{"name": "logit:Mary#7", "tokens": [" Mary", " John"]}])
    assert resolve_target(graph, '" Mary" over " John"') == "logit:Mary#7"


@given(st.sampled_from(QUOTES), st.text(alphabet=string.ascii_letters + " ,|&=@/", min_size=1, max_size=9))
def test_quotes_of_every_kind_come_off_and_nothing_else(quotes: str, inner: str) -> None:
    assert unquoted(quotes[0] + inner + quotes[1]) == inner
    assert unquoted(inner) is None


ALPHABET = string.ascii_letters + string.digits + " \"'“”@/:|,&=*?[]()#-→é\n"


@given(st.text(alphabet=ALPHABET, max_size=24) | st.sampled_from([r["node"] for r in ROWS]))
def test_any_text_is_a_meaning_or_a_refusal_in_one_sentence(text: str) -> None:
    for means in (resolve, resolve_target):
        try:
            found = means(GIVING, text)
        except CircuitsError as refusal:
            assert str(refusal).strip()  # noqa: PT017 - either outcome is right
        else:
            nodes = [found] if isinstance(found, str) else found.nodes
            assert nodes
            assert set(nodes) <= set(GIVING.index)


@given(st.text(min_size=1, max_size=9))
def test_a_token_as_answers_write_it_is_read_back(token: str) -> None:
    assert unquoted(quoted(token)) == token
