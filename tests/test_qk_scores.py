"""Scores are bilinear in their sources: sums close, pairs and triples against the game itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from extraction import dictionaries, model_of, prompt_of
from literal import run_trace, source_names
from literal_scores import literal_scores
from strategies import random_trace

from circuits.engine.nodes import node_table
from circuits.engine.qk.scores import End, contributions, key_group, players
from circuits.engine.rows import Engine
from circuits.errors import UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import AllActive

PARTS = {
    "plain": {},
    "parallel": {"parallel": True},
    "cross-layer": {"cross_layer": True},
    "one group a head": {"groups": 4},
    "bare": {"without": {"position", "attention_constant", "skip", "constant", "error", "scales", "bias"}},
    "past the unrolled positions": {"n": 18, "layers": 2, "features": 2},
    "MLPs that pass": {"passing": (0, 2), "gates": ("abstopk",)},
    "features on the stream": {"stream": (1,), "passing": (0, 1, 2)},
    "parallel, on the stream": {"stream": (0, 2), "passing": (0, 1), "parallel": True},
}


def sides(trace, layer, head, q, k):
    """Contributions to a query and a key, and the names of the nodes."""
    engine = Engine(trace)
    query, key = End(layer, "query", head, q), End(layer, "key", key_group(trace, head), k)
    found = contributions(engine, [query, key])
    return found[query], found[key], node_table(trace, engine.where)["node"].to_list()


def score_game(trace, layer, head, q, k):
    """The score when only some sources are on, everything frozen, from the literal equations."""
    zeroed = {"query_bias": None, "key_bias": None}

    def worth(on):
        masks = {name: float(name in on) for name in source_names(trace)}
        made = trace.scores if "bias:own" in on else replace(trace.scores, **zeroed)
        residual = run_trace(trace, masks, frozen=True).residual
        return literal_scores(replace(trace, scores=made), residual)[layer, head, q, k]

    return worth


@pytest.mark.parametrize(
    ("parts", "bound"),
    [(name, 1e-12) for name in PARTS] + [("plain", 1e-5), ("past the unrolled positions", 1e-5)],
)
def test_contributions_sum_to_the_score(parts, bound):
    dtype = np.float64 if bound < 1e-6 else np.float32
    trace = random_trace(3, scores=True, dtype=dtype, **PARTS[parts])
    n, layers = trace.n_positions, trace.n_layers
    literal = literal_scores(trace, run_trace(trace).residual)
    places = [(la, h, q, k) for la in range(layers) for h in (0, 3) for q in (1, n - 1) for k in (0, q)]
    engine = Engine(trace)
    ends = {
        place: (End(la, "query", h, q), End(la, "key", key_group(trace, h), k))
        for place, (la, h, q, k) in zip(places, places, strict=True)
    }
    found = contributions(engine, itertools.chain(*ends.values()))
    for place, (query, key) in ends.items():
        total = (found[query] @ found[key].T).sum()
        assert total == pytest.approx(literal[place], abs=bound * max(1, abs(literal[place])))


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
def test_a_pair_is_what_two_sources_do_together(parts):
    """Order 2 of the score game by its four worths; order 3 is nothing, whatever else is on."""
    trace = random_trace(5, scores=True, **(parts | {"n": min(parts.get("n", 4), 5)}))
    place = (trace.n_layers - 1, 1, trace.n_positions - 1, 1)
    u, w, names = sides(trace, *place)
    worth = score_game(trace, *place)
    rng = np.random.default_rng(0)
    strong = [names[i] for i in np.argsort(-np.abs(u @ w.T).max(1))[:6] if names[i] != "rest"]
    for a, b, c in [*itertools.combinations(strong, 3)][:4]:
        rest = {name for name in source_names(trace) if rng.random() < 0.5} - {a, b, c}
        v = {t: worth(rest | set(t)) for r in range(4) for t in itertools.combinations((a, b, c), r)}
        i, j = names.index(a), names.index(b)
        pair = v[a, b] - v[(a,)] - v[(b,)] + v[()]
        assert pair == pytest.approx(u[i] @ w[j] + u[j] @ w[i], abs=1e-12)
        triple = v[a, b, c] - v[a, b] - v[a, c] - v[b, c] + v[(a,)] + v[(b,)] + v[(c,)] - v[()]
        assert triple == pytest.approx(0, abs=1e-12)


def test_dormant_features_contribute_nothing_and_constants_are_no_players():
    trace = random_trace(11, scores=True)
    u, w, names = sides(trace, 2, 0, 3, 1)
    engine = Engine(trace)
    off = engine.where.feature[trace.features.activation == 0]
    assert len(off) > 0
    assert not u[off].any()
    assert not w[off].any()
    on = {name for name, player in zip(names, players(engine), strict=True) if player}
    assert {name.split("@")[0].rstrip("0123456789") for name in on} == {"tok", "pos", "err"} | {
        name.split("@")[0].rstrip("0123456789") for name in on if "/" in name
    }
    assert not {name for name in on if name.startswith(("bias", "rest"))}
    assert len(on) == len(names) - 2 - 2 * trace.n_layers - len(trace.targets)


@pytest.mark.parametrize("name", ["llama-yarn", "gpt2", "qwen3-biases", "gemma2", "neox"])
def test_scores_of_extracted_traces_close_on_the_models_patterns(name, tmp_path_factory):
    """Differences of scores are the log-odds of the recorded pattern."""
    model = model_of(name)
    transcoders = dictionaries(tmp_path_factory.mktemp("sets"))(name, "jumprelu")
    settings = Extraction(AllActive(), labels=False, scores=True)
    trace = extract(model, transcoders, prompt_of(model), settings)
    cap = model.anatomy.layers[0].attention.scores.softcap
    for head in range(4):
        engine, keys = Engine(trace), (2, 4, 5)
        query = End(2, "query", head, 5)
        ends = [End(2, "key", key_group(trace, head), k) for k in keys]
        found = contributions(engine, [query, *ends])
        scores = np.array([found[query].sum(0) @ found[end].sum(0) for end in ends])
        scores = scores if cap is None else cap * np.tanh(scores / cap)
        seen = np.log(trace.attention.pattern[2, head, 5, list(keys)])
        np.testing.assert_allclose(scores - scores[0], seen - seen[0], atol=2e-5)


def test_a_trace_without_scores_is_refused_with_what_to_do():
    trace = random_trace(1)
    with pytest.raises(UsageError, match=r"Extraction\(scores=True\)"):
        contributions(Engine(trace), [End(0, "query", 0, 0)])
