"""Alignments go forward, one-to-one, and find what stands for what."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_graph import sample_graph

from circuits.errors import UsageError
from circuits.query.align import Alignment, parse_align, tokens_of

PROMPTS = st.lists(st.sampled_from("abcd"), max_size=9)
WAYS = st.sampled_from(["end", "start", "text"])


@given(PROMPTS, PROMPTS, WAYS)
def test_alignments_are_one_to_one_and_go_forward(here: list[str], there: list[str], how: str) -> None:
    found = Alignment.of(here, there, how).pairs
    for a, b in pairwise(found):
        assert a[0] < b[0]
        assert a[1] < b[1]
    if how != "text":
        assert len(found) == min(len(here), len(there))


@given(PROMPTS, WAYS)
def test_a_prompt_is_aligned_with_itself_token_by_token(tokens: list[str], how: str) -> None:
    alignment = Alignment.of(tokens, tokens, how)
    assert alignment.pairs == tuple((i, i) for i in range(len(tokens)))
    assert alignment.changed == alignment.only_here == alignment.only_there == ()


@given(PROMPTS, PROMPTS, WAYS)
def test_turning_exchanges_the_prompts(here: list[str], there: list[str], how: str) -> None:
    alignment = Alignment.of(here, there, how)
    turned = alignment.turned()
    assert turned.only_here == alignment.only_there
    assert turned.forward == alignment.back
    assert turned.turned() == alignment


@given(PROMPTS, PROMPTS, WAYS)
def test_places_are_told_apart_and_hold_their_tokens(here: list[str], there: list[str], how: str) -> None:
    alignment = Alignment.of(here, there, how)
    places = [alignment.place(q) for q in range(len(there))]
    assert len(set(places)) == len(places)
    merged = alignment.merged()
    assert len(merged) == len(here) + len(alignment.only_there)
    for q, place in enumerate(places):
        assert merged[place] == (here[place] if q in alignment.back else there[q])


def test_each_way_on_a_word_of_two_tokens() -> None:
    here = ["The", " state", " of", " San", " Jose", " is"]
    there = ["The", " state", " of", " Dallas", " is"]
    assert Alignment.of(here, there, "start").pairs[-1] == (4, 4)
    assert Alignment.of(here, there, "end").pairs[0] == (1, 0)
    text = Alignment.of(here, there, "text")
    assert text.pairs == ((0, 0), (1, 1), (2, 2), (4, 3), (5, 4))
    assert text.changed == ((4, 3),)
    assert text.only_here == (3,)
    given_ = Alignment.of(here, there, [(5, 4)])
    assert given_.only_there == (0, 1, 2, 3)


def test_names_move_with_their_positions() -> None:
    alignment = Alignment.of(["x", "y", "z"], ["y", "q", "z"], [(1, 0), (2, 2)])
    names = {
        "12/4051@0": "12/4051@1",
        "tok@2": "tok@2",
        "err3@1": "err3@3",  # without a partner: after the end of the first prompt
        "score:5.3@2,0": "score:5.3@2,1",
        "odds:5.3@2,0-1": "odds:5.3@2,1-3",
        "bias:own": "bias:own",
        "logit:Mary": "logit:Mary",
        "logit:@home": "logit:@home",
    }
    assert {name: alignment.renamed(name) for name in names} == names


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(0, 5)], "second prompt has no position 5"),
        ([(-1, 0)], "first prompt has no position -1"),
        ([(0, 1), (1, 0)], "0:1 and 1:0 do not both go forward"),
        ([(0, 0), (0, 1)], "do not both go forward"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Alignment.of(["a", "b"], ["a", "b"], pairs)


def test_what_is_written_is_read() -> None:
    assert parse_align("3:4, 5:5") == ((3, 4), (5, 5))
    assert parse_align("text") == "text"
    with pytest.raises(UsageError, match=r"aligned by 'ends'.*Did you mean 'end'"):
        parse_align("ends")
    with pytest.raises(UsageError, match="no pairs of positions"):
        parse_align("3:4,5")


def test_tokens_are_counted_where_the_graph_does_not_name_them() -> None:
    graph = sample_graph()
    assert tokens_of(graph)[1] == " Mary"
    assert tokens_of(graph.with_meta(prompt=None)) == ("",) * 14
