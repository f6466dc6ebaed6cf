"""SAEs and cross-layer transcoders, from model to graph: the trace runs, sums close, edges intervene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from extraction import PLAIN, assert_runs, model_of, prompt_of
from tiny_saes import tiny_clt, tiny_sae

from circuits.dictionaries.coders import InputNorm
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.errors import Incompatible, InvalidFile, NotFound
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.passing import passing
from circuits.extraction.select import AllActive, ByAttribution
from circuits.models.forward import apply_norm, forward, run_mlp
from circuits.prompt import FeatureTarget

ARCHITECTURES = ("llama", "gpt2", "qwen3", "gemma2", "neox", "llama-biases", "gpt2-relu")
SITES = ("mlp_out", "mlp_added", "block_out")
NORMS = {"none": None, "layer norm": InputNorm("layer_norm"), "unit": InputNorm("unit_rms")}
ALL = (Edges(tolerance=0.0),)
SETS = {
    **{f"sae {site}": lambda model, site=site: tiny_sae(model, site) for site in SITES},
    **{
        f"sae of some layers, {site}": lambda model, site=site: tiny_sae(model, site, "topk", layers=(1,))
        for site in SITES
    },
    **{
        f"sae, {norm}": lambda model, norm=norm: tiny_sae(model, "block_out", "jumprelu", NORMS[norm])
        for norm in ("layer norm", "unit")
    },
    "sae abstopk": lambda model: tiny_sae(model, "mlp_out", "abstopk", NORMS["layer norm"]),
    "clt": lambda model: tiny_clt(model, "jumprelu"),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_held_mlp_gives_its_own_output(name: str) -> None:
    model = model_of(name)
    seen = forward(model, prompt_of(model).ids)
    for layer, parts in enumerate(model.anatomy.layers):
        x = apply_norm(parts.mlp_norm, seen.mlp_in[layer], seen.mlp_scale[layer])
        held = passing(model, layer, x)
        torch.testing.assert_close(held.apply(x), run_mlp(parts.mlp, x), rtol=1e-11, atol=1e-12)
        rows = torch.randn(len(x), model.width, dtype=x.dtype)
        pulled, offset = held.pull(rows, torch.arange(len(x)))
        expected = (rows * run_mlp(parts.mlp, x)).sum(1)
        torch.testing.assert_close((pulled * x).sum(1) + offset, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("make", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_trace_is_the_model(name: str, make) -> None:
    model = model_of(name)
    trace = extract(model, make(model), prompt_of(model), PLAIN)
    assert_runs(trace, model, torch.float64)


@pytest.mark.parametrize("make", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_completeness_closes(make, dtype: torch.dtype, bound: float) -> None:
    for name in ("gemma2", "neox") if dtype is torch.float64 else ("llama",):
        model = model_of(name, dtype)
        graph = attribute(extract(model, make(model), prompt_of(model), PLAIN), ALL)
        assert graph.nodes["expanded"].sum() > 20
        assert graph.meta["completeness_residual"] <= bound


@pytest.mark.parametrize(
    ("name", "kind"), [("gpt2", "sae block_out"), ("neox", "sae mlp_out"), ("gemma2", "clt")]
)
def test_edges_equal_the_slow_twin(name: str, kind: str) -> None:
    model = model_of(name)
    trace = extract(model, SETS[kind](model), prompt_of(model), PLAIN)
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    fast = {(t, s): w for s, t, w, _ in attribute(trace, ALL).edges.iter_rows() if w != 0}
    assert set(fast) <= set(slow)
    gap = max(abs(fast.get(edge, 0.0) - w) for edge, w in slow.items())
    assert gap <= 1e-12 * max(map(abs, slow.values()))


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS.keys())
def test_an_error_is_what_the_sae_leaves(norm: InputNorm | None) -> None:
    """Encode and decode by the record's own equations; what is missing of the stream is the error."""
    model = model_of("llama")
    sae = tiny_sae(model, "block_out", "topk", norm, layers=(1,))
    trace = extract(model, sae, prompt_of(model), PLAIN)
    x = forward(model, trace.prompt.ids).attention_in[2]
    coder, mean, scale, back = sae.coder(1), 0.0, 1.0, 1.0
    if norm is not None and norm.kind == "layer_norm":
        mean, back = x.mean(1, keepdim=True), x.std(1, keepdim=True)
        scale = 1 / (back + norm.eps)
    elif norm is not None:
        back = x.square().mean(1, keepdim=True).sqrt()
        scale = 1 / back
    z = ((x - mean) * scale) @ coder.encoder.all().T + coder.encoder_bias
    kept = z.topk(7, dim=1)
    a = torch.zeros_like(z).scatter(1, kept.indices, kept.values.relu())
    out = (a @ coder.decoders[0][1].all() + coder.decoder_bias) * back + mean
    np.testing.assert_allclose(trace.mlp.error[1], (x - out).numpy(), atol=1e-12)
    assert not trace.mlp.error[[0, 2]].any()


def test_below_features_on_the_stream_nothing_reaches_past_them() -> None:
    model = model_of("llama")
    graph = attribute(extract(model, tiny_sae(model, "block_out", layers=(1,)), prompt_of(model), PLAIN), ALL)
    logits = graph.nodes["node"].filter(graph.nodes["kind"] == "logit")
    into = graph.edges.filter(graph.edges["target"].cast(str).is_in(logits.to_list()))
    sources = set(into["source"].cast(str))
    assert {s for s in sources if s.startswith(("tok@", "err0", "bias:attn0", "bias:attn1"))} == set()
    assert any(s.startswith("1/") for s in sources)


@pytest.mark.parametrize("kind", ["sae block_out", "sae mlp_out", "sae of some layers, block_out", "clt"])
@pytest.mark.parametrize("name", ["llama", "neox"])
def test_ranking_by_attribution_agrees_with_the_graph(name: str, kind: str) -> None:
    """The total effect of a feature along all paths, ratios held, by powers of the graph's own edges."""
    model = model_of(name)
    trace = extract(model, SETS[kind](model), prompt_of(model), PLAIN)
    graph = attribute(trace, ALL)
    names = graph.nodes["node"].to_list()
    row = {node: i for i, node in enumerate(names)}
    activation = graph.nodes["activation"].to_numpy()
    z = graph.nodes["pre_activation"].fill_null(1.0).to_numpy()
    weights = np.zeros((len(names), len(names)))
    for source, target, weight, _ in graph.edges.iter_rows():
        weights[row[target], row[source]] = weight
    is_logit = graph.nodes["kind"].to_numpy() == "logit"
    # a feature passes on a share a/z of what it receives, as a share of what it writes (weights are per a)
    share = np.where(is_logit | (z == 0), 0.0, 1 / np.where(z == 0, 1, z))
    share[graph.nodes["kind"].to_numpy() != "feature"] = 0.0
    total = np.zeros_like(weights)
    step = weights[is_logit]
    total = step.copy()
    for _ in range(model.n_layers + 1):
        step = (step * share) @ weights
        total += step
    size = np.abs(total).T @ graph.nodes["target_weight"].to_numpy()[is_logit]
    features = [i for i, node in enumerate(names) if "/" in node and activation[i] != 0]
    most = 12
    best = sorted(features, key=lambda i: -size[i])[:most]
    few = extract(model, SETS[kind](model), prompt_of(model), Extraction(ByAttribution(most), labels=False))
    f = few.features
    kept = {f"{a}/{b}@{c}" for a, b, c in zip(f.layer, f.id, f.position, strict=True)}
    assert kept == {names[i] for i in best}


def test_refusals() -> None:
    model = model_of("llama")
    sae = tiny_sae(model, "block_out", layers=(1,))
    with pytest.raises(NotFound, match="no features in layer 0: it covers 1"):
        extract(model, sae, prompt_of(model, FeatureTarget("0/3@2")), Extraction(AllActive(), labels=False))
    with pytest.raises(Incompatible, match="speaks of layer 7"):
        tiny_sae(model, "mlp_out", layers=(0, 7)).check(model)
    with pytest.raises(InvalidFile, match="several coders for one layer"):
        tiny_sae(model, "mlp_out", layers=(1, 1))
