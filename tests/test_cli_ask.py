"""`circuits ask` as a user meets it: answers, the list of forms, refusals and exit codes."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sample_graph import sample_graph
from sample_interactions import sample_interactions

import circuits
from circuits.cli.main import run
from circuits.query.ask.forms import FORMS


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def call(*words: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    sample_interactions().save(folder / "ioi")
    sample_graph().save(folder / "plain")
    return folder


def test_a_question_in_words_is_answered_as_python_answers_it(where: Path) -> None:
    asked = call("ask", where / "ioi", "why ' Mary' and not John?", "--json")
    graph = circuits.load_run(where / "ioi")
    known = circuits.why(graph, " Mary", over="John").to_dict()
    assert (asked.code, asked.err) == (0, "")
    document = json.loads(asked.out)
    assert document["finding"] == list(known["finding"])
    assert document["asked"] == 'why " Mary" over John'
    assert document["tables"]["features"] == known["tables"]["features"]


def test_the_answer_is_shown_with_question_tables_and_python(where: Path) -> None:
    text = call("ask", where / "ioi", "which pairs drive Mary").out
    assert text.startswith('Which pairs drive " Mary"?\n')
    assert "COMBINATIONS. What nodes do together" in text
    assert "print(circuits.ask(graph, 'which pairs drive Mary').answer())" in text


def test_the_python_is_never_broken_over_lines(where: Path) -> None:
    question = "what if 9/88@9, 13/61@10, 24/1042@13, 21/1177@13 and 26/1219@13 are scaled by 0.25 for John"
    line = call("ask", where / "ioi", question).out.splitlines()[-1]
    assert line.startswith("  print(circuits.ask(graph, ")
    assert line.endswith(").answer())")
    assert len(line) > 120


def test_all_forms_are_listed_with_and_without_a_run(where: Path) -> None:
    for words in (("ask", "--forms"), ("ask", where / "ioi", "--forms")):
        listed = call(*words)
        assert listed.code == 0
        assert all(way in listed.out for form in FORMS for way in form.ways)
    document = json.loads(call("ask", "--forms", "--json").out)
    assert [form["ways"] for form in document["forms"]] == [list(form.ways) for form in FORMS]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("which pairs drvie Mary",),
            2,
            "at 'drvie' 'drive' was expected. Nearest question: which pairs drive",
        ),
        (("why Maria",), 3, "No target 'Maria' in this graph. Did you mean 'logit:Mary'"),
        (("why Mary nto John",), 3, "Or was the question: why Mary not John?"),
        (("what if Jonh is off",), 3, "Nothing is called Jonh"),
        (("what if the is off",), 0, ""),
        (("what if John is off",), 2, "John means 2 things"),
        (("what if logit:Mary is off",), 2, "is an output"),
        (("compare with nowhere",), 3, "No run at nowhere"),
        (("why", "--limit-seconds", "0"), 2, "0 seconds"),
        ((), 2, "Give a run and a question"),
    ],
)
def test_refusals_are_one_sentence_with_the_right_exit_code(
    where: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = call("ask", where / "ioi", *words)
    assert (done.code, said in done.err) == (code, True), done.err
    assert done.err.count("\n") <= 1


def test_a_run_without_interactions_says_the_command(where: Path) -> None:
    done = call("ask", where / "plain", "which pairs drive Mary")
    assert done.code == 2
    assert f"circuits interact {where / 'plain'} computes them" in done.err


def test_no_run_at_the_path_is_told_and_a_bad_question_is_told_first(where: Path) -> None:
    assert call("ask", where / "iio", "why").code == 3
    assert "cannot be parsed" in call("ask", where / "iio", "hwy not").err


def test_another_run_that_is_not_there_is_told_with_those_beside_it(where: Path) -> None:
    done = call("ask", where / "ioi", f"compare with {where / 'plian'}")
    assert done.code == 3
    assert f"Did you mean '{where / 'plain'}'" in done.err
