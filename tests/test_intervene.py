"""Sessions: what they hold, layer by layer, what they write, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from extraction import PLAIN, dictionaries, model_of, prompt_of
from literal import run_trace
from literal_interventions import logits_under
from sample_graph import sample_graph
from test_intervene_frozen import run_of
from tiny_saes import tiny_clt, tiny_sae

from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.neurons import Neurons
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import CircuitsError, Incompatible, NotFound, UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import AllActive, ByAttribution
from circuits.graph.actions import Affine, Intervention, ablate, add, scale, setting
from circuits.graph.graph import Graph
from circuits.graph.predict import predict
from circuits.intervene.hold import FREE, FROZEN, Hold
from circuits.intervene.session import Session
from circuits.models.forward import capped, forward, rebuild
from circuits.models.load import load_model
from circuits.models.sites import replaced
from circuits.prompt import FeatureTarget, Logit, Prompt


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


def active(graph: Graph, layer: int) -> str:
    """The feature of a layer with the largest activation."""
    table = graph.nodes.filter(pl.col("kind") == "feature", pl.col("layer") == layer)
    return str(table.sort(pl.col("activation").abs(), descending=True)["node"][0])


# ------------------------------------------------------------------------------ what is held


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
def test_patterns_alone_may_be_held(name: str) -> None:
    """Rebuilt from the anatomy with one token's embedding scaled and the patterns of the untouched pass."""
    model = model_of(name)
    _, session = run_of(model, tiny_clt(model))
    ids = session.prompt.ids
    pattern = forward(model, ids).pattern
    embedding = model.anatomy.embedding.clone()
    embedding[ids[1]] *= -1.5
    expected = rebuild(replace(model.anatomy, embedding=embedding), ids, pattern).logits[-1]
    change = Intervention("turned", scale({"tok@1": -1.5}))
    found, free = (session.run([change], hold).logits[0] for hold in (Hold(patterns=True), FREE))
    np.testing.assert_allclose(found, capped(model.anatomy, expected).numpy(), rtol=1e-9, atol=1e-9)
    own = logits_under(model, session.dictionary, ids, {}, {1: -1.5})[-1]
    np.testing.assert_allclose(free, own.numpy(), rtol=1e-4, atol=1e-4)
    assert np.abs(found - free).max() > 1e-3


@pytest.mark.parametrize("kind", ["neurons", "topk"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
def test_held_until_a_layer_and_free_after_it(name: str, kind: str, make) -> None:
    """The literal frozen equations up to a block's end, then the module's own remaining blocks."""
    model = model_of(name)
    dictionary = make(name, kind)
    trace = extract(model, dictionary, prompt_of(model), PLAIN)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    session, node = Session.of(model, dictionary, graph), active(graph, 0)
    for until in (0, 1):
        stream = torch.tensor(run_trace(trace, {node: -1.0}).residual[until + 1], dtype=model.dtype)
        with torch.no_grad(), replaced(model, {(until, "block_out"): lambda _, s=stream: s[None]}):
            expected = model.module(torch.tensor([trace.prompt.ids]), use_cache=False).logits[0, -1]
        hold = Hold(patterns=True, norms=True, mlps=True, until=until)
        found = session.run([Intervention("x", scale({node: -1.0}))], hold)
        np.testing.assert_allclose(found.logits[0], expected.numpy(), rtol=1e-4, atol=1e-4)
        assert np.abs(found.effects).max() > 1e-3


def test_held_until_the_first_or_past_the_last_layer_is_free_or_frozen() -> None:
    model = model_of("llama")
    graph, session = run_of(model, tiny_clt(model))
    late = [ablate([active(graph, 2)]), Intervention("x", scale({active(graph, 1): 3.0}))]
    begin = session.run(late, Hold(patterns=True, norms=True, mlps=True, until=0))
    np.testing.assert_allclose(begin.values, session.run(late, FREE).values, rtol=1e-12)
    end = session.run(late, Hold(patterns=True, norms=True, mlps=True, until=3))
    np.testing.assert_array_equal(end.values, session.run(late, FROZEN).values)
    assert np.abs(begin.values - end.values).max() > 1e-3


def test_what_is_done_to_a_cross_layer_feature_reaches_free_layers_where_it_writes() -> None:
    """Held in its own layer only; the layers after run themselves, plus what was done to its writes there."""
    model = model_of("llama")
    dictionary = tiny_clt(model)
    graph, session = run_of(model, dictionary)
    node = active(graph, 0)
    hold = Hold(patterns=True, norms=True, mlps=True, until=0)
    found = session.run([ablate([node])], hold).logits[0]
    layer, feature, p = 0, *(int(part) for part in node.split("/")[1].split("@"))
    own = logits_under(model, dictionary, session.prompt.ids, {(layer, feature, p): (0.0, 0.0)})[-1]
    np.testing.assert_allclose(found, own.numpy(), rtol=1e-4, atol=1e-4)  # nothing lies before it


@pytest.mark.parametrize("hold", [FREE, FROZEN, Hold(patterns=True), Hold(norms=True, mlps=True)])
@pytest.mark.parametrize("name", ["gemma2", "neox", "qwen3"])
def test_batches_and_company_change_nothing(name: str, hold: Hold) -> None:
    model = model_of(name)
    graph, session = run_of(model, tiny_sae(model, "mlp_added", "topk"))
    many = [ablate([active(graph, layer)]) for layer in (2, 0, 1)]
    many += [ablate(["tok@5"]), Intervention("nothing"), Intervention("far", setting({"1/9": 2.0}))]
    seen: list[tuple[str, int, int]] = []
    whole = session.run(many, hold, batch=2, progress=lambda *told: seen.append(told))
    assert seen == [("interventions", k, 5) for k in (2, 4, 5)]  # nothing is done for nothing
    for row, one in enumerate(many):
        alone = session.run([one], hold)
        np.testing.assert_allclose(whole.logits[row], alone.logits[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(whole.logits[4], whole.logits_before)
    np.testing.assert_array_equal(whole.values[4], whole.before)
    assert whole.flops > 0


# ------------------------------------------------------------------------------ what is acted on


def test_a_feature_without_a_position_is_acted_on_at_every_one() -> None:
    model = model_of("llama")
    _, session = run_of(model, tiny_clt(model))
    n = len(session.prompt.ids)
    everywhere = Intervention("all", add({"1/7": 0.8}))
    each = Intervention("each", add({f"1/7@{p}": 0.8 for p in range(n)}))
    both = Intervention("both", {**add({"1/7": 0.8}), **scale({"1/7@2": 3.0})})  # one after the other
    last = Intervention("last", {**each.nodes, "1/7@2": Affine(3.0, 2.4)})
    for hold in (FREE, FROZEN):
        found = session.run([everywhere, each, both, last], hold)
        np.testing.assert_array_equal(found.logits[0], found.logits[1])
        np.testing.assert_allclose(found.logits[2], found.logits[3], rtol=1e-12)
        assert np.abs(found.logits[2] - found.logits[0]).max() > 1e-6


def test_a_feature_the_run_left_out_is_set_and_all_else_stays(make) -> None:
    """Held still, setting it writes its decoder row, which an added error-like constant would do as well."""
    model = model_of("llama")
    dictionary = make("llama", "relu")
    trace = extract(model, dictionary, prompt_of(model), Extraction(AllActive(), labels=False))
    graph = attribute(trace, (Edges(tolerance=0.0),))
    session = Session.of(model, dictionary, graph)
    off = dictionary.encode(2, session.recorded.features_input(2)).activation[5] == 0
    absent = f"2/{int(off.nonzero()[0])}@5"
    assert absent not in graph.index
    (term,) = dictionary.write_terms(2, session.recorded.features_input(2))
    row = term.rows.all()[int(off.nonzero()[0])]
    order = [trace.targets.names.index(name) for name in graph.targets]
    vectors = torch.tensor(trace.targets.vector[order])  # what targets read of the last stream
    found = session.run([Intervention("on", setting({absent: 1.7})), ablate([absent])], FROZEN)
    np.testing.assert_allclose(found.effects[0], (1.7 * (vectors @ row)).numpy(), rtol=1e-9)
    np.testing.assert_array_equal(found.effects[1], 0)


def test_errors_of_a_pruned_or_chosen_run_are_those_it_was_made_with() -> None:
    model = model_of("gpt2")
    settings = Extraction(ByAttribution(30), labels=False)
    trace = extract(model, Neurons(model), prompt_of(model), settings)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    change = [Intervention("e", scale({"err1@3": 0.2})), ablate(["err2@5", "err0@1"])]
    expected = predict(graph, change)
    for kept in (graph, graph.top(12)):
        left = Session.of(model, Neurons(model), kept)._kept.error(1)
        np.testing.assert_allclose(left, trace.mlp.error[1], atol=1e-12)
    whole = Session.of(model, Neurons(model), graph).run(change, FROZEN)
    np.testing.assert_allclose(whole.values, expected, rtol=1e-9)


def test_features_never_expanded_stay_unless_acted_on() -> None:
    model = model_of("gemma2")
    clt = tiny_clt(model)
    trace = extract(model, clt, prompt_of(model), PLAIN)
    graph = attribute(trace, (Edges(tolerance=0.0, max_features=25),))
    shut = graph.nodes.filter(pl.col("kind") == "feature", ~pl.col("expanded"), pl.col("layer") == 1)
    change = [ablate(["tok@2"]), Intervention("x", scale({shut["node"][0]: 3.0})), ablate([active(graph, 0)])]
    found = Session.of(model, clt, graph).run(change, FROZEN)
    np.testing.assert_allclose(found.values, predict(graph, change), rtol=1e-9)
    whole = Session.of(model, clt, attribute(trace, (Edges(tolerance=0.0),))).run(change, FROZEN)
    assert np.abs(whole.values - found.values).max() > 1e-2


@pytest.mark.parametrize("kind", ["relu", "neurons"])
def test_a_feature_may_be_the_target(kind: str, make) -> None:
    model = model_of("llama")
    dictionary = make("llama", kind)
    trace = extract(model, dictionary, prompt_of(model), PLAIN)
    node = active(attribute(trace, (Edges(tolerance=0.0),)), 2)
    graph, session = run_of(model, dictionary, targets=(FeatureTarget(node), Logit("t5")))
    change = [ablate([active(graph, 1)]), ablate([active(graph, 0), "tok@5"]), ablate([node])]
    np.testing.assert_allclose(session.run(change, FROZEN).values, predict(graph, change), rtol=1e-9)
    free = session.run(change, FREE)
    assert free.values[0, graph.targets.index(node)] != free.before[graph.targets.index(node)]
    late = free.effects[2, graph.targets.index(node)]
    assert late == pytest.approx(0, abs=1e-12)  # acting on the target itself does not change what reaches it


@pytest.mark.parametrize(
    ("spec", "text"), [("toy", "The capital of Texas is"), ("smollm2", "The capital of")]
)
def test_bundled_models_do_what_their_graphs_say(spec: str, text: str) -> None:
    model = load_model(spec)
    dictionary = load_dictionary("toy" if spec == "toy" else "neurons", model)
    settings = Extraction(None if spec == "toy" else ByAttribution(300), labels=False)
    trace = extract(model, dictionary, Prompt.of(text, model), settings)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    best = graph.nodes.filter(kind="feature").sort("influence", descending=True)["node"].to_list()
    change = [ablate(best[:1]), ablate(best[:40]), ablate(["tok@2"]), Intervention("up", add({best[3]: 2.0}))]
    change += [ablate([graph.nodes.filter(kind="error")["node"][9]])]
    found = Session.of(model, dictionary, graph).run(change, FROZEN)
    size = np.abs(found.effects).max(axis=1, keepdims=True)
    assert size.min() > 1e-3
    assert (np.abs(found.values - predict(graph, change)) / np.maximum(size, 1)).max() < 1e-4


# ------------------------------------------------------------------------------ other texts


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
def test_a_run_on_its_own_prompt_is_the_same_by_hooks(name: str) -> None:
    model = model_of(name)
    graph, session = run_of(model, tiny_sae(model, "block_out", "topk"))
    change = Intervention("x", {**setting({"1/4": 1.5}), **scale({active(graph, 2): 0.0, "tok@2": 1.2})})
    before, after = session.elsewhere(session.prompt.ids, change)
    found = session.run([change], FREE)
    np.testing.assert_allclose(before[-1], found.logits_before, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after[-1], found.logits[0], rtol=1e-4, atol=1e-4)
    assert np.abs(after - before).max(axis=1).min() > 0  # feature 1/4 at every position


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
def test_writing_under_an_intervention_is_one_token_after_the_other(name: str) -> None:
    """No cache, the whole text anew at each step, edited by the oracle's own hooks."""
    model = model_of(name)
    dictionary = tiny_clt(model, "jumprelu")
    _, session = run_of(model, dictionary)
    change = Intervention("steer", {"1/4": Affine(1.0, 4.0), "0/3@0": Affine(0.0, 2.0)})
    ids: list[int] = list(session.prompt.ids)
    for _ in range(6):
        done = {(1, 4, p): (1.0, 4.0) for p in range(len(ids))} | {(0, 3, 0): (0.0, 2.0)}
        ids.append(int(logits_under(model, dictionary, ids, done)[-1].argmax()))
    written = session.generate(change, 6)
    assert written.after == tuple(ids[-6:])
    assert written.before != written.after
    assert written.before[: written.same] == written.after[: written.same]
    plain = session.generate(Intervention("nothing"), 6)
    assert plain.before == plain.after == written.before
    assert plain.same == 6


# ------------------------------------------------------------------------------ what is refused


@pytest.fixture(scope="module")
def tried():
    model = model_of("llama")
    graph, session = run_of(model, tiny_clt(model))
    return model, graph, session


@pytest.mark.parametrize(
    ("node", "error", "said"),
    [
        ("bias:own", UsageError, "no feature, embedding or error"),
        ("logit:t5", UsageError, "cannot be acted on"),
        ("rest", UsageError, "cannot be acted on"),
        ("tok@9", NotFound, "no position 9"),
        ("pos@1", NotFound, "no positional embeddings"),
        ("1/40@2", NotFound, "no feature 40"),
        ("3/1@2", NotFound, "no layer 3"),
        ("err1@17", NotFound, "no position 17"),
        ("tokk@1", NotFound, "Did you mean 'tok@1'"),
        ("Texas", NotFound, "write 12/4051@7"),
    ],
)
def test_what_cannot_be_acted_on_is_said(tried, node: str, error: type[CircuitsError], said: str) -> None:
    with pytest.raises(error, match=said.replace("(", r"\(")):
        tried[2].run([ablate([node])])


def test_runs_of_something_else_are_refused(tried) -> None:
    model, graph, session = tried
    clt = session.dictionary
    with pytest.raises(Incompatible, match="does not say which tokens"):
        Session.of(model, clt, graph.with_meta(prompt={}))
    with pytest.raises(Incompatible, match="does not fit"):
        Session.of(model, clt, graph.with_meta(prompt={"ids": [5, 97], "tokens": ["a", "b"]}))
    with pytest.raises(Incompatible, match="does not say which token its target"):
        Session.of(model, clt, graph.with_meta(targets=[]))
    other = [5, *session.prompt.ids[1:]]
    changed = graph.with_meta(prompt={**graph.meta["prompt"], "ids": other})
    with pytest.raises(Incompatible, match=r"has activation .* and .* in the run"):
        Session.of(model, clt, changed)
    with pytest.raises(Incompatible):
        Session.of(model, clt, sample_graph())
    with pytest.raises(UsageError, match="batch of 0"):
        session.run([ablate(["tok@1"])], batch=0)
    with pytest.raises(UsageError, match="ask for 1 to"):
        session.generate(ablate(["1/4"]), 1000)
    with pytest.raises(UsageError, match="belongs to the prompt of a run"):
        session.elsewhere([4, 5], ablate(["err1@1"]))


def test_another_model_is_refused_unless_forced(tried) -> None:
    _, graph, _ = tried
    other = model_of("llama-rope")
    clt = tiny_clt(other)
    with pytest.raises(Incompatible, match="another model"):
        Session.of(other, clt, graph)
    forced = Session.of(other, clt, graph, forced=True)
    assert forced.forced
    assert not tried[2].forced
    found = forced.run([ablate(["tok@1"])], FROZEN)
    own = forward(other, forced.prompt.ids).logits[-1]
    place = next(i for i, target in enumerate(forced.targets) if len(target.ids) == 1)
    expected = float(own[forced.targets[place].ids[0]] - own.mean())
    assert found.before[place] == pytest.approx(expected)
    assert np.isfinite(found.values).all()
    assert found.effects.any()


# ------------------------------------------------------------------------------ what is told


def test_an_outcome_tells_outputs_before_and_after_and_effects(tried) -> None:
    _, graph, session = tried
    change = [ablate(["tok@1"]), Intervention.of("on", setting({"1/4@5": 9.0}))]
    found = session.run(change)
    top = found.top(2)
    assert top["intervention"].unique(maintain_order=True).to_list() == ["without tok@1", "on"]
    mine = top.filter(intervention="on")
    weights = np.exp(found.logits[1] - found.logits[1].max())
    chances = weights / weights.sum()
    assert mine["id"][0] == int(chances.argmax())
    assert {int(found.logits_before.argmax()), *np.argsort(-chances)[:2].tolist()} <= set(mine["id"])
    np.testing.assert_allclose(mine["after"], chances[mine["id"].to_list()], rtol=1e-6)
    np.testing.assert_allclose(mine["change"], mine["after"] - mine["before"])
    assert mine["token"].to_list() == [f"t{i}" for i in mine["id"]]
    table = found.table()
    assert table["target"].to_list() == [*graph.targets, *graph.targets]
    np.testing.assert_array_equal(table["effect"].to_numpy().reshape(2, -1), found.effects)
    assert table["done"].to_list()[-1] == ["1/4@5=9"]
