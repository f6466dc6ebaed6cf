"""Everything held still, the model does what the graph says: every architecture, every kind of dictionary."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from extraction import dictionaries, model_of, prompt_of
from tiny_saes import tiny_clt, tiny_sae

from circuits.dictionaries.coders import InputNorm
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import AllActive
from circuits.graph.actions import Intervention, ablate, add, scale, setting
from circuits.graph.predict import predict
from circuits.intervene.hold import FROZEN
from circuits.intervene.session import Session
from circuits.prompt import LogitDifference, TopLogits

ARCHITECTURES = ("llama-biases", "gpt2", "qwen3", "gemma2", "gemma3-capped", "neox", "neox-serial", "mistral")
SETS = {
    **{
        kind: lambda make, model, kind=kind: make(model.name, kind, dtype=model.dtype)
        for kind in ("neurons", "relu", "jumprelu", "topk", "skip")
    },
    "no gain": lambda make, model: make(model.name, "jumprelu", "no-gain", dtype=model.dtype),
    "residual": lambda make, model: make(model.name, "topk-relu", "residual", dtype=model.dtype),
    "clt": lambda _, model: tiny_clt(model, "jumprelu"),
    **{
        f"sae {site}": lambda _, model, site=site: tiny_sae(model, site, "topk")
        for site in ("mlp_out", "mlp_added", "block_out")
    },
    "sae of one layer": lambda _, model: tiny_sae(model, "block_out", "abstopk", layers=(1,)),
    "sae with a norm": lambda _, model: tiny_sae(
        model, "mlp_out", "jumprelu", InputNorm("layer_norm"), layers=(0, 2)
    ),
}
TARGETS = (TopLogits(0.5, 3), LogitDifference("t3", "t9"))


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


def run_of(model, dictionary, select=None, targets=TARGETS):
    """A graph of a tiny model that keeps every edge, dormant features of all margins, and its session."""
    margin = None if dictionary.kind == "neurons" else 1e9
    settings = Extraction(select or AllActive(), labels=False, dormant_margin=margin)
    trace = extract(model, dictionary, prompt_of(model, *targets), settings)
    graph = attribute(trace, (Edges(tolerance=0.0),))
    return graph, Session.of(model, dictionary, graph)


def everything(graph) -> list[Intervention]:
    """Every kind of intervention on nodes of every layer and kind."""
    features = graph.nodes.filter(pl.col("kind") == "feature", pl.col("expanded"))
    rng = np.random.default_rng(0)
    names = [str(n) for n in rng.choice(features["node"].to_numpy(), 24, replace=False)]
    found = [ablate([name]) for name in names[:6]]
    found += [Intervention("set", setting({name: 1.7})) for name in names[6:9]]
    found += [Intervention("scale", scale({name: -2.0})) for name in names[9:12]]
    found += [Intervention("add", add({name: 0.9})) for name in names[12:15]]
    found += [
        ablate(names),
        Intervention.of("all", scale({names[0]: 3.0}), add({names[1]: -1.0, names[0]: 0.5})),
    ]
    found += [ablate(["tok@2"]), Intervention("half", scale({"tok@0": 0.5, "tok@4": 1.5}))]
    errors = graph.nodes.filter(pl.col("kind") == "error")["node"].to_list()
    if errors:
        found += [ablate(errors[:1]), Intervention("error", scale({errors[-2]: 0.3, names[3]: 2.0}))]
    if "pos@1" in graph.index:
        found += [ablate(["pos@1"])]
    return [*found, Intervention("nothing")]


def assert_as_predicted(graph, session, interventions, bound) -> None:
    predicted = predict(graph, interventions)
    measured = session.run(interventions, FROZEN)
    assert measured.targets == tuple(graph.targets)
    size = np.abs(predicted - measured.before).max()
    assert size > 0.1
    np.testing.assert_allclose(measured.values, predicted, rtol=0, atol=bound * size)


PAIRS = [
    *((name, kind) for name in ("neox", "gemma2") for kind in SETS),
    *(
        (name, kind)
        for name in ARCHITECTURES
        for kind in ("neurons", "topk")
        if name not in ("neox", "gemma2")
    ),
]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_held_still_the_model_does_what_the_graph_says(name: str, kind: str, make) -> None:
    model = model_of(name)
    graph, session = run_of(model, SETS[kind](make, model))
    assert_as_predicted(graph, session, everything(graph), 1e-9)


@pytest.mark.parametrize(("name", "kind"), [("llama-biases", "neurons"), ("gpt2", "topk"), ("gemma2", "clt")])
def test_also_in_single_precision(name: str, kind: str, make) -> None:
    model = model_of(name, torch.float32)
    graph, session = run_of(model, SETS[kind](make, model))
    assert_as_predicted(graph, session, everything(graph), 1e-4)
