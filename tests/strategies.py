"""Whole valid objects, drawn at random: `traces()` and `graphs()` for Hypothesis, and plain makers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import strategies as st
from literal import gate, run_trace
from literal_scores import literal_scores

from circuits.graph.graph import Graph
from circuits.prompt import Prompt
from circuits.schema import GATES, NODE_SCHEMA, feature_name
from circuits.trace import Attention, Features, Mlp, Passing, Scores, Targets, Terms, Trace

THRESHOLDED = ("jumprelu", "topk", "abstopk")
OPTIONAL = ("position", "attention", "attention_constant", "skip", "constant", "error", "scales", "bias")
"""Parts of a trace that may be left out; `random_trace` takes those to leave out as `without`."""


def random_trace(
    seed: int,
    *,
    n: int = 4,
    d: int = 8,
    layers: int = 3,
    heads: int = 4,
    groups: int = 2,
    features: int = 5,
    parallel: bool = False,
    cross_layer: bool = False,
    dormant: bool = True,
    gates: tuple[str, ...] = ("relu",),
    feature_target: bool = False,
    passing: tuple[int, ...] = (),
    stream: tuple[int, ...] = (),
    scores: bool = False,
    without: frozenset[str] | set[str] = frozenset(),
    dtype: type[np.floating] = np.float64,
) -> Trace:
    """A trace whose activations, pre-activations and target values obey the literal equations.

    `features` is per layer; each occurs at every position. Those off on this prompt stay as dormant
    rows, or are left out (and `dormant_gap` says by how much they were off) if not `dormant`. Each
    feature reads by one or two terms; `cross_layer` lets it write into all later layers too. Two
    logit targets, the first at the last position; `feature_target` adds one feature as a third.
    `passing` names layers whose MLP passes, held; `stream` those whose features sit on the stream. With
    `scores` it holds queries and keys, and its patterns are the softmax of their scores.
    """
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.normal(size=shape) * scale).astype(dtype)

    def maybe(part: str, *shape: int, scale: float = 0.3) -> np.ndarray | None:
        drawn = normal(*shape, scale=scale)
        return None if part in without else drawn

    def scales() -> np.ndarray:
        drawn = rng.uniform(0.5, 1.5, size=(layers, n)).astype(dtype)
        return np.ones((layers, n), dtype) if "scales" in without else drawn

    R = max(1, d // heads)
    score = rng.normal(size=(layers, heads, n, n))
    pattern = np.tril(np.exp(score))
    attention = Attention(
        pattern=(pattern / pattern.sum(-1, keepdims=True)).astype(dtype),
        value=normal(layers, groups, R, d, scale=d**-0.5),
        output=normal(layers, heads, d, R, scale=(R * heads) ** -0.5),
        read_scale=scales(),
        write_scale=scales(),
        constant=maybe("attention_constant", layers, n, d),
    )
    mlp = Mlp(
        read_scale=scales(),
        write_scale=scales(),
        skip=maybe("skip", layers, d, d, scale=0.3 * d**-0.5),
        constant=maybe("constant", layers, n, d),
        error=maybe("error", layers, n, d),
    )
    tokens = normal(n, d)
    rows, reads, writes, vectors = _random_features(
        rng, (layers, n, features, d), gates, cross_layer, "bias" not in without, dtype
    )
    if stream:  # features on the stream write there, and nobody else does
        into = np.isin(writes.layer, stream) | np.isin(rows.layer[writes.feature], stream)
        stay = ~into | (writes.layer == rows.layer[writes.feature])
        columns = (writes.feature, writes.vector, writes.layer, writes.coefficient)
        writes = Terms(*(column[stay] for column in columns))
    held = Passing(
        layer=np.array(passing, np.int32),
        write=normal(len(passing), d, 5, scale=5**-0.5),
        read=normal(len(passing), 2, 5, d, scale=d**-0.5),
        coefficient=normal(len(passing), 2, n, 5, scale=0.5),
        constant=maybe("attention_constant", len(passing), n, d),
    )
    targets = Targets(
        names=("logit: one", "logit: two"),
        vector=normal(2, d),
        position=np.array([n - 1, int(rng.integers(n))], np.int32),
        bias=np.zeros(2, dtype) if "bias" in without else normal(2),
        weight=np.array([0.75, 0.25], dtype),
        value=np.zeros(2, dtype),
        feature=np.array([-1, -1], np.int32),
    )
    draft = Trace(
        prompt=Prompt(" ".join(f"w{p}" for p in range(n)), tuple(range(n)), tuple(f"w{p}" for p in range(n))),
        n_layers=layers,
        token_embedding=tokens,
        position_embedding=maybe("position", n, d),
        attention=None if "attention" in without else attention,
        mlp=mlp,
        vectors=vectors,
        features=rows,
        reads=reads,
        writes=writes,
        targets=_with_feature(targets, rows, rng) if feature_target and len(rows) else targets,
        parallel=parallel,
        passing=held if passing else None,
        stream=np.isin(np.arange(layers), stream) if stream else None,
        labels={feature_name(0, 0, 0): "a label"} if len(rows) else {},
        meta={"seed": seed},
    )
    if scores:
        draft = replace(draft, scores=_random_scores(rng, attention, d))
        for layer in range(layers):  # what a layer's scores read depends on the patterns below it
            draft = _attending(draft, layer)
    return _settled(draft, dtype, dormant=dormant)


def _random_scores(rng: np.random.Generator, attention: Attention, d: int, Q: int = 5, P: int = 2) -> Scores:
    layers, heads, n, _ = attention.pattern.shape
    groups, dtype = attention.value.shape[1], attention.pattern.dtype

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.normal(size=shape) * scale).astype(dtype)

    return Scores(
        query=normal(layers, heads, Q, d, scale=d**-0.5),
        key=normal(layers, groups, Q, d, scale=d**-0.5),
        query_scale=rng.uniform(0.5, 1.5, size=(layers, heads, n)).astype(dtype),
        key_scale=rng.uniform(0.5, 1.5, size=(layers, groups, n)).astype(dtype),
        factor=rng.uniform(0.3, 0.6, size=layers).astype(dtype),
        query_bias=normal(layers, heads, Q, scale=0.3),
        key_bias=normal(layers, groups, Q, scale=0.3),
        angle=normal(layers, n, P, scale=3.0),
    )


def _attending(draft: Trace, layer: int) -> Trace:
    """The draft with the patterns of one layer those of its scores."""
    assert draft.attention is not None
    score = literal_scores(draft, run_trace(draft).residual)[layer]
    weight = np.exp(np.where(np.isnan(score), -np.inf, score))
    pattern = draft.attention.pattern.copy()
    pattern[layer] = weight / weight.sum(-1, keepdims=True)
    return replace(draft, attention=replace(draft.attention, pattern=pattern))


def _random_features(
    rng: np.random.Generator,
    sizes: tuple[int, int, int, int],
    gates: tuple[str, ...],
    cross_layer: bool,
    biased: bool,
    dtype: type[np.floating],
) -> tuple[Features, Terms, Terms, np.ndarray]:
    layers, n, m, d = sizes
    grid = np.indices((layers, n, m)).reshape(3, -1)
    layer, position, number = (axis.astype(np.int32) for axis in grid)
    count = len(layer)
    # vectors: two reads then one write for each feature of the dictionary
    vectors = (rng.normal(size=(3 * layers * m, d)) * d**-0.5).astype(dtype)
    base = 3 * (layer * m + number)
    gate_of = rng.integers(len(gates), size=(layers, m))[layer, number].astype(np.int8)
    thresholded = np.array([gates[g] in THRESHOLDED for g in gate_of], bool)
    bias = rng.normal(size=(layers, m))[layer, number] * 0.3
    rows = Features(
        layer=layer,
        position=position,
        id=number,
        activation=np.zeros(count, dtype),
        pre_activation=np.zeros(count, dtype),
        bias=(bias if biased else 0 * bias).astype(dtype),
        threshold=np.where(thresholded, rng.uniform(0.05, 0.4, size=count), 0).astype(dtype),
        gate=gate_of,
        gates=gates,
    )
    every = np.arange(count, dtype=np.int32)
    second = every[rng.random(count) < 0.4]
    reader = np.concatenate([every, second])
    reads = Terms(
        feature=reader,
        vector=np.concatenate([base, base[second] + 1]).astype(np.int32),
        layer=layer[reader],
        coefficient=np.concatenate([np.ones(count), rng.normal(size=len(second))]).astype(dtype),
    )
    into = [(i, to) for i in range(count) for to in range(layer[i], layers if cross_layer else layer[i] + 1)]
    writer = np.array([i for i, _ in into], np.int32)
    writes = Terms(
        feature=writer,
        vector=(base[writer] + 2).astype(np.int32),
        layer=np.array([to for _, to in into], np.int32),
        coefficient=rng.uniform(0.5, 1.5, size=len(writer)).astype(dtype),
    )
    return rows, reads, writes, vectors


def _with_feature(targets: Targets, rows: Features, rng: np.random.Generator) -> Targets:
    i = int(rng.integers(len(rows)))
    dtype = targets.vector.dtype
    return Targets(
        names=(*targets.names, feature_name(int(rows.layer[i]), int(rows.id[i]), int(rows.position[i]))),
        vector=np.concatenate([targets.vector, np.zeros((1, targets.vector.shape[1]), dtype)]),
        position=np.append(targets.position, rows.position[i]).astype(np.int32),
        bias=np.append(targets.bias, 0).astype(dtype),
        weight=np.array([0.5, 0.25, 0.25], dtype),
        value=np.zeros(3, dtype),
        feature=np.append(targets.feature, i).astype(np.int32),
    )


def _settled(draft: Trace, dtype: type[np.floating], *, dormant: bool) -> Trace:
    """The draft with its numbers filled in, and without its dormant features if not `dormant`."""
    literal = run_trace(draft)
    rows = replace(
        draft.features,
        pre_activation=literal.pre_activation.astype(dtype),
        activation=literal.activation.astype(dtype),
    )
    targets = replace(draft.targets, value=literal.targets.astype(dtype))
    trace = replace(draft, features=rows, targets=targets)
    if dormant:
        return trace
    keep = rows.activation != 0
    keep[targets.feature[targets.feature >= 0]] = True
    gap = np.full((trace.n_layers, trace.n_positions), np.inf, dtype)
    off = ~keep
    two_sided = np.array([rows.gates[g] == "abstopk" for g in rows.gate], bool)
    z = np.where(two_sided, np.abs(rows.pre_activation), rows.pre_activation)
    np.minimum.at(gap, (rows.layer[off], rows.position[off]), (rows.threshold - z)[off])
    row = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)
    arrays = {k: v[keep] for k, v in vars(rows).items() if isinstance(v, np.ndarray)}
    return replace(
        trace,
        features=Features(**arrays, gates=rows.gates),
        reads=_terms_of(trace.reads, keep, row),
        writes=_terms_of(trace.writes, keep, row),
        targets=replace(targets, feature=np.append(row, np.int32(-1))[targets.feature]),
        dormant_gap=gap,
        labels={},
    )


def _terms_of(terms: Terms, keep: np.ndarray, row: np.ndarray) -> Terms:
    stay = keep[terms.feature]
    return Terms(row[terms.feature[stay]], terms.vector[stay], terms.layer[stay], terms.coefficient[stay])


@st.composite
def traces(draw: st.DrawFn, *, dtype: type[np.floating] | None = None) -> Trace:
    """A small valid trace: any parts left out, any gates, serial or parallel, cross-layer or not."""
    groups, layers = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    without = draw(st.sets(st.sampled_from(OPTIONAL)))
    settings = {
        "n": draw(st.integers(1, 3)),
        "d": draw(st.integers(2, 6)),
        "layers": layers,
        "heads": groups * draw(st.integers(1, 2)),
        "groups": groups,
        "features": draw(st.integers(0, 3)),
        "parallel": draw(st.booleans()),
        "cross_layer": draw(st.booleans()),
        "dormant": draw(st.booleans()),
        "gates": tuple(draw(st.lists(st.sampled_from(GATES), min_size=1, max_size=3, unique=True))),
        "feature_target": draw(st.booleans()),
        "passing": tuple(sorted(draw(st.sets(st.integers(0, layers - 1))))),
        "stream": tuple(sorted(draw(st.sets(st.integers(0, layers - 1))))),
        "without": without,
        "scores": draw(st.booleans()) and "attention" not in without,
        "dtype": dtype or draw(st.sampled_from([np.float32, np.float64])),
    }
    seed = draw(st.integers(0, 2**16))
    with dice_put_back():
        return random_trace(seed, **settings)


@contextlib.contextmanager
def dice_put_back() -> Iterator[None]:
    """Beartype throws Python's dice to pick the items it checks; Hypothesis forbids that in strategies."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def random_graph(
    seed: int,
    *,
    tokens: int = 3,
    layers: int = 3,
    features: int = 4,
    logits: int = 2,
    density: float = 0.6,
    gates: tuple[str, ...] = ("relu",),
    errors: bool = True,
    bias: bool = True,
    rest: bool = False,
    unexpanded: float = 0.0,
    dtype: type[np.floating] = np.float64,
) -> Graph:
    """A graph whose weights add up to its pre-activations, and those give its activations.

    `features` is per layer; each expanded one reads a share `density` of everything in the layers before.
    Features that come out as 0 are dormant. `rest` adds
    edges from `rest` with a truncated mass, `unexpanded` is the share of features without inputs.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    edges: list[tuple[int, int, float, float]] = []  # source, target, weight, strength

    def add(node: str, kind: str, **more: object) -> int:
        blank = dict.fromkeys(NODE_SCHEMA, None) | {"activation": 1.0, "expanded": False, "truncated": 0.0}
        rows.append(blank | {"node": node, "kind": kind, "target_weight": 0.0} | more)
        return len(rows) - 1

    sources = [add(f"tok@{p}", "token", pos=p) for p in range(tokens)]
    own = add("bias:own", "bias") if bias else None
    rest_row = add("rest", "rest") if rest else None

    def receive(before: list[int]) -> tuple[list[tuple[int, float, float]], float]:
        """Incoming edges (source, weight, strength) and the truncated mass."""
        chosen = [s for s in before if rng.random() < density]
        into = []
        for s in chosen:
            strength = float(dtype(rng.normal() / len(chosen) ** 0.5))
            into.append((s, float(dtype(strength * rows[s]["activation"])), strength))
        for constant in (own, rest_row):
            if constant is not None:
                weight = float(dtype(rng.normal() * 0.3))
                into.append((constant, weight, weight))
        return into, abs(into[-1][1]) * 1.5 if rest else 0.0

    for layer in range(layers):
        made = []
        for number in range(features):
            open_ = rng.random() >= unexpanded
            into, truncated = receive(sources) if open_ else ([], 0.0)
            name = gates[rng.integers(len(gates))]
            threshold = float(rng.uniform(0.02, 0.2)) if name in THRESHOLDED else None
            z = sum(weight for _, weight, _ in into) if open_ else float(rng.normal())
            at = add(
                feature_name(layer, number, number % tokens),
                "feature",
                layer=layer,
                pos=number % tokens,
                feature=number,
                activation=gate(name, z, threshold or 0.0),
                pre_activation=z,
                threshold=threshold,
                gate=name,
                expanded=open_,
                truncated=truncated,
            )
            edges += [(s, at, weight, strength) for s, weight, strength in into]
            made.append(at)
        if errors:
            made += [add(f"err{layer}@{p}", "error", layer=layer, pos=p) for p in range(tokens)]
        sources = sources + made
    for k in range(logits):
        into, truncated = receive(sources)
        z = sum(weight for _, weight, _ in into)
        more = {"activation": z, "pre_activation": z, "expanded": True, "truncated": truncated}
        at = add(f"logit: {k}", "logit", pos=tokens - 1, **more, target_weight=1.0 / 2 ** (k + 1))
        edges += [(s, at, weight, strength) for s, weight, strength in into]
    columns = np.array(edges, float).reshape(-1, 4).T
    ends = (columns[0].astype(np.int32), columns[1].astype(np.int32))
    values = (columns[2].astype(dtype), columns[3].astype(dtype))
    return Graph.of(pl.DataFrame(rows, schema=NODE_SCHEMA), ends, values, {"seed": seed})


@st.composite
def graphs(draw: st.DrawFn, *, dtype: type[np.floating] | None = None) -> Graph:
    """A small valid graph: any gates, dense or sparse, with or without errors, biases, `rest`."""
    options = {
        "tokens": draw(st.integers(1, 3)),
        "layers": draw(st.integers(0, 3)),
        "features": draw(st.integers(0, 4)),
        "logits": draw(st.integers(1, 3)),
        "density": draw(st.sampled_from([0.2, 0.6, 1.0])),
        "gates": tuple(draw(st.lists(st.sampled_from(GATES), min_size=1, max_size=3, unique=True))),
        "errors": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "rest": draw(st.booleans()),
        "unexpanded": draw(st.sampled_from([0.0, 0.3])),
        "dtype": dtype or draw(st.sampled_from([np.float32, np.float64])),
    }
    seed = draw(st.integers(0, 2**16))
    with dice_put_back():
        return random_graph(seed, **options)
