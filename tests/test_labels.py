"""Labels say what was planted, with the precision and recall that counting by hand gives, or nothing."""

from __future__ import annotations

import json

import numpy as np
import planted_cards as planted
import pytest

from circuits.cards.concepts import load_concepts, tabled
from circuits.cards.labels import f_score
from circuits.cards.settings import Describing, Limits
from circuits.cards.table import log_odds, short
from circuits.cards.words import words
from circuits.errors import InvalidFile, NotFound


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        return planted.cards(patch)


def card(made, name):
    return made[0].card(3, planted.FEATURE[name])


@pytest.mark.parametrize(
    ("name", "label", "role"),
    [
        ("on", "cities", "on"),
        ("after", "after cities", "after"),
        ("say", "say cities", "say"),
        ("domain", "scripts", "on"),
        ("pair", "state after is", "on"),
        ("word", "the word wh", "on"),
        ("half", "cities", "on"),
    ],
)
def test_a_planted_meaning_is_found(made, name, label, role) -> None:
    best = card(made, name).labels[0]
    assert (best.text, best.role) == (label, role)


@pytest.mark.parametrize("name", ["noise", "fickle", "dead", "mute"])
def test_what_does_not_hold_on_held_out_text_is_unlabelled(made, name) -> None:
    assert card(made, name).labels == ()
    assert made[0].table["label"][planted.FEATURE[name]] is None


@pytest.mark.parametrize("name", ["on", "half", "say", "domain"])
def test_precision_and_recall_are_those_of_the_other_half_counted_by_hand(made, name) -> None:
    _, text, dense = made
    feature, best = planted.FEATURE[name], card(made, name).labels[0]
    choosing = len(text) // 2
    threshold = max(float(v) for v in dense[:choosing, :, feature].reshape(-1)) / 2
    hits = on = such = any_on = total = 0
    for row in range(choosing, len(text)):
        for place in range(1, text.length - 1):
            follows, here = int(text.ids[row, place + 1]), int(text.ids[row, place])
            member = {
                "on": here in planted.CITIES,
                "half": here in planted.CITIES,
                "say": follows in planted.CITIES,
                "domain": int(text.domain[row]) == 0,
            }[name]
            value = float(dense[row, place - 1, feature])
            on += value >= threshold
            hits += member and value >= threshold
            any_on += member and value > 0
            such += member
            total += 1
    assert best.on == on
    np.testing.assert_allclose(
        [best.precision, best.recall, best.recall_any, best.base],
        [hits / on, hits / such, any_on / such, such / total],
        rtol=1e-6,
    )


def test_limits_decide_what_is_published(monkeypatch) -> None:
    strict = Describing(before=3, after=2, sample=64, limits=Limits(recall=0.6))
    cards, *_ = planted.cards(monkeypatch, strict)
    assert cards.card(3, planted.FEATURE["half"]).labels == ()  # it is on at half of the cities
    assert cards.card(3, planted.FEATURE["on"]).labels[0].recall == 1
    assert "recall ≥ 0.6" in cards.meta["limits"]["text"]


def test_without_concepts_tokens_are_listed(monkeypatch) -> None:
    cards, *_ = planted.cards(monkeypatch, concepts={})
    best = cards.card(3, planted.FEATURE["on"]).labels[0]
    assert not best.named
    assert best.text.startswith("the words ")
    assert set(best.text.removeprefix("the words ").split(", ")) == {"wc", "wd", "we"}
    assert cards.card(3, planted.FEATURE["say"]).labels[0].text == "say wc, wd, we"


def test_halves_share_no_sequence_and_both_see_every_domain() -> None:
    text = planted.text()
    choosing = text.choosing()
    assert choosing.sum() == len(text) / 2
    for domain in range(2):
        assert choosing[text.domain == domain].mean() == 0.5
    runs = np.flatnonzero(np.diff(choosing.astype(int))) + 1
    assert set(np.diff(runs)) == {16}


def test_f_half_counts_precision_double() -> None:
    p, r = 0.8, 0.2
    assert f_score(np.array([p]), np.array([r]))[0] == pytest.approx(1.25 * p * r / (0.25 * p + r))
    assert f_score(np.array([0.0]), np.array([0.0]))[0] == 0


def test_log_odds_by_hand() -> None:
    background = np.array([50, 30, 20])
    seen = np.array([[0, 1, 1, 1]])
    (found,) = log_odds(seen, np.ones_like(seen, bool), background)
    usual = 30.5 / 101.5
    share = (3 + 100 * usual) / 104
    assert [entry["token"] for entry in found] == [1]  # token 0 is rarer there than in the text
    assert found[0]["share"] == 0.75
    expected = np.log(share / (1 - share)) - np.log(usual / (1 - usual))
    assert found[0]["log_odds"] == pytest.approx(expected, rel=2**-8)


def test_short_numbers_keep_eight_binary_digits() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    np.testing.assert_allclose(short(values), values, rtol=2**-8)
    assert np.all(short(values).view(np.uint32) & 0xFFFF == 0)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ([" capital"], "the word capital"),
        ([" New York", " of"], "the words New York, of"),
        (["er", " of"], "the tokens ‘er’, ‘ of’"),
        (["\n"], r"the token ‘\n’"),
        (["\u202e"], r"the token ‘\u202e’"),
    ],
)
def test_tokens_in_words(tokens, text) -> None:
    assert words(tokens) == text


def test_concepts_leave_out_what_cannot_occur() -> None:
    concepts = tabled(planted.CONCEPTS | {"x": {"domain": "no such"}}, planted.WORDS, ("code", "prose"))
    assert concepts.names == ("cities", "scripts", "state after is")
    assert concepts.plain.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[1]", "holds no object"),
        ("{", "is no JSON"),
        ('{"a": {"token": [" x"]}}', "'a'"),
        ('{"a": {"tokens": " x"}}', "'a'"),
        ('{"a": {}}', "'a'"),
        ('{"a": {"domain": 3}}', "'a'"),
        ('{"a": [" x"]}', "'a'"),
    ],
)
def test_a_file_that_is_no_concepts_is_refused_by_name(tmp_path, written, said) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(written)
    with pytest.raises(InvalidFile, match=said):
        load_concepts(path)
    path.write_text(json.dumps(planted.CONCEPTS))
    assert load_concepts(path) == planted.CONCEPTS
    with pytest.raises(NotFound):
        load_concepts(tmp_path / "none.json")
