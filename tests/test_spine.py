"""From model to graph, every architecture crossed with every dictionary: sums close, edges intervene."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from extraction import PLAIN, dictionaries, model_of, prompt_of

from circuits.dictionaries.base import AbstractDictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.extraction.extract import extract
from circuits.graph.graph import Graph
from circuits.models.base import Forward, Model
from circuits.models.forward import apply_norm, attend, forward
from circuits.schema import parse_feature

ARCHITECTURES = ("llama", "mistral", "gpt2", "qwen2", "qwen3", "gemma2", "gemma3", "neox")
# every kind, and every architecture with the kinds that differ in what they write
CROSSED = [(name, kind) for name in ARCHITECTURES for kind in ("neurons", "topk", "skip")]
CROSSED += [("llama", "relu"), ("gemma2", "jumprelu")]
ALL = (Edges(tolerance=0.0),)


@pytest.fixture(scope="module")
def dictionary_of(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize(("name", "kind"), CROSSED)
def test_completeness_closes(dictionary_of, name: str, kind: str) -> None:
    _assert_complete(dictionary_of, name, kind, torch.float64, 1e-12)


@pytest.mark.parametrize(("name", "kind"), CROSSED[::3] + CROSSED[-1:])
def test_completeness_closes_in_single_precision(dictionary_of, name: str, kind: str) -> None:
    _assert_complete(dictionary_of, name, kind, torch.float32, 1e-5)


def _assert_complete(dictionary_of, name: str, kind: str, dtype: torch.dtype, bound: float) -> None:
    model = model_of(name, dtype)
    dictionary = dictionary_of(name, kind, dtype=dtype)
    graph = attribute(extract(model, dictionary, prompt_of(model), PLAIN), ALL)
    assert graph.nodes["expanded"].sum() > 20
    assert graph.meta["completeness_residual"] <= bound


@pytest.mark.parametrize(("name", "kind"), [("gpt2", "skip"), ("gemma2", "topk"), ("neox", "relu")])
def test_edges_of_models_equal_the_slow_twin(dictionary_of, name: str, kind: str) -> None:
    model = model_of(name)
    trace = extract(model, dictionary_of(name, kind), prompt_of(model), PLAIN)
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    fast = {(t, s): w for s, t, w, _ in attribute(trace, ALL).edges.iter_rows() if w != 0}
    assert set(fast) <= set(slow)
    missing = max((abs(slow[edge]) for edge in set(slow) - set(fast)), default=0.0)
    gap = max(abs(fast[edge] - slow[edge]) for edge in fast)
    assert max(missing, gap) <= 1e-12 * max(map(abs, slow.values()))


@pytest.mark.parametrize("kind", ["neurons", "jumprelu", "skip"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
def test_an_edge_is_an_intervention_on_the_frozen_model(dictionary_of, name: str, kind: str) -> None:
    model, dictionary = model_of(name), dictionary_of(name, kind)
    trace = extract(model, dictionary, prompt_of(model), PLAIN)
    graph = attribute(trace, ALL)
    held = forward(model, trace.prompt.ids)
    generator = np.random.default_rng(0)
    kinds = {"token": 2, "feature": 4} | ({"error": 2} if trace.mlp.error is not None else {})
    for source_kind, count in kinds.items():
        names = graph.nodes.filter((pl.col("kind") == source_kind) & (pl.col("activation") != 0))["node"]
        for source in generator.choice(names.to_numpy(), count, replace=False):
            moved = _frozen(model, dictionary, held, {source: 0.5}, trace)
            still = _frozen(model, dictionary, held, {}, trace)
            _assert_moves(graph, source, {t: moved[t] - still[t] for t in moved}, share=0.5)


def _assert_moves(graph: Graph, source: str, change: dict[str, float], share: float) -> None:
    weights = dict(graph.edges.filter(pl.col("source") == source).select("target", "weight").iter_rows())
    scale = max((abs(w) for w in weights.values()), default=1.0)
    for target in graph.nodes.filter("expanded")["node"]:
        assert change[target] == pytest.approx(share * weights.get(target, 0.0), abs=1e-10 * max(scale, 1))


def _frozen(
    model: Model, dictionary: AbstractDictionary, held: Forward, scaled: dict[str, float], trace
) -> dict[str, float]:
    """Pre-activations when one source is scaled up by a share, patterns, norm scales and features held."""
    anatomy, n = model.anatomy, len(held.ids)
    nodes = {}
    r = held.attention_in[0].clone()
    for p in range(n):
        r[p] += scaled.get(f"tok@{p}", 0.0) * anatomy.embedding[held.ids[p]] * anatomy.embedding_scale
    for layer, parts in enumerate(anatomy.layers):
        x = apply_norm(parts.attention_norm, r, held.attention_scale[layer])
        out = attend(parts.attention, x, held.pattern[layer])
        if parts.attention_post_norm is not None:
            out = apply_norm(parts.attention_post_norm, out, held.attention_post_scale[layer])
        mid = r + out
        x = apply_norm(parts.mlp_norm, r if anatomy.parallel else mid, held.mlp_scale[layer])
        x_held = apply_norm(parts.mlp_norm, held.mlp_in[layer], held.mlp_scale[layer])
        z = sum(
            (1 if term.coefficient is None else term.coefficient) * (x @ term.rows.all().T)
            + (0 if term.bias is None else term.bias)
            for term in dictionary.read_terms(layer, x_held)
        )
        change = torch.zeros_like(r)
        if (skip := dictionary.skip(layer)) is not None:
            change += (x - x_held) @ skip.T
        activation = dictionary.encode(layer, x_held).activation
        (write,) = dictionary.write_terms(layer, x_held)
        for source, share in scaled.items():
            if (place := parse_feature(source)) is not None and place[0] == layer:
                _, i, p = place
                change[p] += share * activation[p, i] * write.rows.all()[i]
        if parts.mlp_post_norm is not None:
            change = parts.mlp_post_norm.gain * change * held.mlp_post_scale[layer][:, None]
        for p in range(n):
            error = 0 if trace.mlp.error is None else torch.from_numpy(trace.mlp.error[layer, p])
            change[p] += scaled.get(f"err{layer}@{p}", 0.0) * error
            nodes |= {f"{layer}/{i}@{p}": float(z[p, i]) for i in range(z.shape[1])}
        r = mid + held.mlp_out[layer] + change
    final = apply_norm(anatomy.final_norm, r, held.final_scale)
    logits = final[-1] @ anatomy.unembedding.T
    centred = logits - logits.mean()
    for name in trace.targets.names:
        if name == "logit:t3-t9":
            nodes[name] = float(logits[3] - logits[9])
        else:
            nodes[name] = float(centred[int(name.removeprefix("logit:t"))])
    return nodes
