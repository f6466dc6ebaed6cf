"""The faithfulness study measures what it says: gradients, rankings, agreement, and a page that tells it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction import PLAIN, model_of
from tiny_saes import tiny_clt, tiny_sae

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.extraction.extract import extract
from circuits.graph.actions import Intervention, scale
from circuits.intervene.hold import FREE
from circuits.intervene.session import Session
from circuits.prompt import LogitDifference, Prompt

ANALYSIS = str(Path(__file__).parent.parent / "analysis")


@pytest.fixture(scope="module", autouse=True)
def modules():
    """The scripts import one another by name, as they do when run."""
    sys.path.insert(0, ANALYSIS)
    yield
    sys.path.remove(ANALYSIS)


def load(name: str):
    return importlib.import_module(f"faithfulness{name}")


def session_of(name: str, make) -> Session:
    model = model_of(name)
    dictionary = make(model)
    prompt = Prompt.of("t3 t14 t15 t9", model, targets=(LogitDifference("t3", "t9"),))
    graph = attribute(extract(model, dictionary, prompt, PLAIN), (Edges(tolerance=0.0),))
    return Session.of(model, dictionary, graph)


@pytest.mark.parametrize("name", ["llama", "neox"])
@pytest.mark.parametrize("make", [tiny_clt, lambda model: tiny_sae(model, "mlp_out")])
def test_gradient_times_activation_is_the_slope_of_scaling_a_feature(name: str, make) -> None:
    """By finite differences of interventions on the free model."""
    session = session_of(name, make)
    found = load("_rankings").gradients(session)
    some = [node for node in sorted(found) if found[node]][::9]
    by = 1e-4
    both = [Intervention("up", scale({node: 1 + s * by})) for node in some for s in (1, -1)]
    values = session.run(both, FREE).values[:, 0]
    slopes = (values[::2] - values[1::2]) / (2 * by)
    np.testing.assert_allclose([found[node] for node in some], slopes, rtol=1e-3, atol=1e-5)
    assert len(some) > 5


def test_rankings_put_the_largest_first_by_value_or_magnitude() -> None:
    ordered = load("_rankings").ordered
    score = {"a": -3.0, "b": 2.0, "c": 0.5}
    assert ordered(score, magnitude=True) == ["a", "b", "c"]
    assert ordered(score, magnitude=False) == ["b", "c", "a"]


def test_effects_are_what_a_graph_without_the_feature_loses() -> None:
    session = session_of("llama", tiny_clt)
    rankings = load("_rankings")
    found = rankings.scores(session, 0)
    assert list(found) == list(rankings.RANKINGS)
    node = max(found["effect"], key=lambda n: abs(found["effect"][n]))
    whole, without = session.graph.run()[0, 0], session.graph.run(off=[node])[0, 0]
    assert found["effect"][node] == pytest.approx(whole - without, rel=1e-5)
    assert all(set(score) == set(found["effect"]) for score in found.values())


def test_agreement_of_lines_is_what_was_put_in() -> None:
    measures = load("_measures")
    x = np.array([1.0, -2.0, 3.0, 0.001])
    rows = np.column_stack([np.ones(4), np.ones(4), x, x, -0.5 * x])
    assert measures.slope(rows, "frozen") == 1
    assert measures.slope(rows, "free") == pytest.approx(-0.5)
    assert measures.spearman(rows, "free") == pytest.approx(-1)
    assert (measures.signs(rows, "frozen"), measures.signs(rows, "free")) == (1, 0)
    assert measures.worst(rows, "free") == pytest.approx(1.5)
    still = rows * [1, 1, 0, 1, 1]
    assert np.isnan(measures.spearman(still, "free"))
    assert np.isnan(measures.slope(still, "free"))
    assert measures.median([1.0, float("nan"), 3.0]) == 2


def test_layers_to_the_output_are_cut_into_ranges_that_hold_every_test_once() -> None:
    for layers in (1, 3, 4, 30):
        tests = [[1, down, 1.0, 1.0, 1.0] for down in range(1, layers + 1)]
        base = {"layers": layers, "prompts": [{"tests": tests}]}
        parts = load("_measures").by_distance(base)
        seen = [down for _, rows in parts for down in rows[:, 1]]
        assert seen == list(range(1, layers + 1))


def test_a_prompt_is_studied_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, study, page = load("_runs"), load(""), load("_page")
    monkeypatch.setattr(runs, "mean", lambda session, nodes, texts: {n: scale({n: 0.0})[n] for n in nodes})
    model = model_of("llama", torch.float32)
    prompts = load("_prompts")
    task = prompts.Task("made up", "t3 t14 t15 t9", "t3", "t9")
    plan = runs.Plan(singles=8, pairs=6, shares=(0.0, 0.1, 0.5, 1.0))
    row = runs.studied(model, tiny_clt(model), task, plan, 0)
    tests = np.array(row["tests"])
    np.testing.assert_allclose(tests[:, 2], tests[:, 3], atol=2e-4)  # held still, as predicted
    assert np.abs(tests[:, 2] - tests[:, 4]).max() > 1e-2
    for curve in row["curves"]:
        assert (curve["faithful"][0], curve["faithful"][-1]) == (0, 1)
        assert (curve["left"][0], curve["left"][-1]) == (1, 0)
    named = {"model": "toy", "dictionary": "clt", "layers": 3, "tried": 2, "dropped": ["x"], "prompts": [row]}
    results = {"shares": plan.shares, "neurons": 9, "tolerance": 1e-5, "texts": 8, "bases": [named]}
    text = page.page(json.loads(study.packed({**results, "cpu seconds": 1})))
    assert "toy, clt: 1 prompts of 2 tried" in text
    assert "| toy, clt | free | 2 |" in text
    assert len(load("_figure").figure(results).axes) == 3


def test_prompts_the_model_does_not_answer_are_told_apart() -> None:
    model = model_of("llama")
    prompts = load("_prompts")
    logits = model.module(torch.tensor([model.encode("t3 t14")])).logits[0, -1]
    likeliest, other = (f"t{int(i)}" for i in logits.argsort(descending=True)[:2])
    assert prompts.answered(model, prompts.Task("", "t3 t14", likeliest, other))
    assert not prompts.answered(model, prompts.Task("", "t3 t14", other, likeliest))
    assert not prompts.answered(model, prompts.Task("", "t3 t14", "t1 t2", likeliest))
