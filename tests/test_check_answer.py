"""An answer's predictions beside what the model does: held as the graph has it, free as the module has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from extraction import model_of
from literal_interventions import logits_under
from test_intervene_frozen import run_of
from tiny_saes import tiny_clt

from circuits.errors import UsageError
from circuits.graph.actions import ablate
from circuits.graph.predict import predict
from circuits.intervene.answers import check
from circuits.intervene.session import Session
from circuits.query.answer import Answer, Prediction
from circuits.query.ask.builder import ask
from circuits.query.ask.parse import parse
from circuits.query.needs import need
from circuits.query.text import signed


@pytest.fixture(scope="module")
def session() -> Session:
    model = model_of("llama")
    return run_of(model, tiny_clt(model))[1]


def named(session: Session) -> list[str]:
    """The two features that are on most in the first layer."""
    table = session.graph.nodes.filter(pl.col("kind") == "feature", pl.col("layer") == 0)
    return table.sort(pl.col("activation").abs(), descending=True)["node"].to_list()[:2]


def asked(session: Session, sentence: str) -> Answer:
    return ask(session.graph, parse(sentence)).answer()


QUESTIONS = [
    ("does {a} need {b}", ["{a} and {b} off", "{b} off", "{a} off"]),
    ("what breaks if {a} and {b} are off", ["{b} off", "{a} off", "{a} and {b} off"]),
    ("what breaks if {a} is off", ["{a} off"]),
    ("what if {a} is doubled and {b} is set to 0.5", ["{a} is doubled and {b} is set to 0.5"]),
    ("what is necessary for 10% of the output", None),
    ("smallest set for 90% of the output", None),
]


@pytest.mark.parametrize(("sentence", "done"), QUESTIONS)
def test_held_the_model_does_what_the_answer_says(
    session: Session, sentence: str, done: list[str] | None
) -> None:
    a, b = named(session)
    answer = asked(session, sentence.format(a=a, b=b))
    table = check(answer, session).tables["measured"]
    if done is not None:
        assert sorted(table["what"]) == sorted(one.format(a=a, b=b) for one in done)
    assert table["predicted"].abs().max() > 1e-3
    np.testing.assert_allclose(table["frozen"], table["predicted"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sentence", [sentence for sentence, _ in QUESTIONS])
def test_what_an_answer_predicts_is_what_the_graph_predicts(session: Session, sentence: str) -> None:
    a, b = named(session)
    for one in asked(session, sentence.format(a=a, b=b)).predictions:
        value = predict(session.graph, [one.intervention], targets=[one.target])[0, 0]
        assert one.value == pytest.approx(value, rel=1e-4, abs=1e-4)


def test_free_the_numbers_are_the_modules_own(session: Session) -> None:
    """A word's embedding scaled under hooks, the target read off the module's logits."""
    target = session.graph.targets[0]
    answer = asked(session, f"what happens to {target} if tok@1 is scaled by 0.25")
    change = check(answer, session).tables["measured"]["free"][0]
    said = next(t for t in session.graph.meta["targets"] if t["name"] == target)
    values = []
    for scales in ({}, {1: 0.25}):
        row = logits_under(session.model, session.dictionary, session.prompt.ids, {}, scales)[-1]
        first, *second = (float(row[token]) for token in said["token_ids"])
        values.append(first - (second[0] if second else float(row.mean())))
    assert change == pytest.approx(values[1] - values[0], abs=1e-4)
    assert abs(change) > 1e-3


def test_needs_are_decided_anew_by_what_was_measured(session: Session) -> None:
    a, b = named(session)
    answer = check(asked(session, f"does {a} need {b}"), session)
    free = dict(answer.tables["measured"].select("what", "free").iter_rows())
    both, no_b, no_a = free[f"{a} and {b} off"], free[f"{b} off"], free[f"{a} off"]
    span = float(np.ptp([0.0, both, no_b, no_a]))
    wanted = need(a, b, -no_a, no_b - both, span).verdict, need(b, a, -no_b, no_a - both, span).verdict
    said = next(sentence for sentence in answer.finding if sentence.startswith("On the model, then"))
    assert f"({signed(-no_a)} with it, {signed(no_b - both)} without)" in said.partition(" and ")[0]
    as_told = wanted == tuple(answer.meta["verdicts"])
    assert ("not as the graph says" in said) != as_told


def test_one_output_over_another_is_measured_as_the_difference(session: Session) -> None:
    a, _ = named(session)
    done, (one, other) = ablate([a]), session.graph.targets[:2]
    said = [
        Prediction(a, done, one, 0.0),
        Prediction(a, done, other, 0.0),
        Prediction(a, done, one, 0.0, other),
    ]
    table = check(replace(asked(session, "why"), predictions=tuple(said)), session).tables["measured"]
    for column in ("before", "free", "frozen"):
        first, second, apart = table[column]
        assert apart == pytest.approx(first - second, abs=1e-9)
    assert abs(table["free"][2]) > 1e-4


@pytest.mark.parametrize("sentence", ["why", "paths", "what is unexplained", "cut the output by edges"])
def test_answers_that_predict_nothing_are_refused(session: Session, sentence: str) -> None:
    with pytest.raises(UsageError, match="circuits verify"):
        check(asked(session, sentence), session)


def test_what_is_no_target_of_the_run_cannot_be_measured(session: Session) -> None:
    a, _ = named(session)
    late = session.graph.nodes.filter(pl.col("kind") == "feature", pl.col("expanded"), pl.col("layer") == 2)
    with pytest.raises(UsageError, match="is no target of this run"):
        check(asked(session, f"what happens to {late['node'][0]} if {a} is off"), session)
