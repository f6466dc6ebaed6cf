"""Large attribution graphs made up in a moment: as many nodes, edges, combinations and cards as wanted.

Features stand in twelve layers over twenty tokens and read what is earlier; weights add up to
pre-activations. Combinations are of all channels, verdicts and concepts are there too, and cards of the size
real ones have. The same seed gives the same graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from circuits.cards.record import CARD_SCHEMA, Cards
from circuits.engine.hyperedges import hyperedge_table, named
from circuits.graph.graph import Graph
from circuits.graph.influence import with_influence
from circuits.schema import NODE_SCHEMA, VERDICT_SCHEMA

LAYERS, HEADS = 12, 8
TOKENS = (
    *("The", " capital", " of", " the", " state", " containing", " Dallas", " is", " Austin", ",", " and"),
    *(" the", " capital", " of", " the", " state", " containing", " Seattle", " is", " called"),
)
OUTPUTS = (" Olympia", " Washington", " Seattle")
WORDS = (
    "cities",
    "states",
    "capitals",
    "rivers",
    "say",
    "after",
    "names",
    "verbs",
    "dates",
    "of",
    "in",
    "code",
)
WIDTH, BEFORE = 14, 10


@dataclass(frozen=True)
class Size:
    """How much there is: rows of each table; cards are of distinct features."""

    nodes: int = 2_000
    edges: int = 20_000
    hyperedges: int = 300
    cards: int = 1_500
    concepts: int = 6
    verdicts: int = 60


def big_graph(size: Size = Size(), seed: int = 0) -> Graph:  # frozen
    """A graph of that size; `shares` of combinations by what they run through come on top."""
    rng = np.random.default_rng(seed)
    nodes = _nodes(rng, size)
    graph = _wired(rng, nodes, size.edges)
    graph = with_influence(graph)
    graph = replace(graph, hyperedges=_hyperedges(rng, graph, size.hyperedges))
    return replace(graph, verdicts=_verdicts(rng, graph, size.verdicts))


def big_cards(graph: Graph, most: int, seed: int = 0) -> Cards:
    """Cards of the first features of a graph."""
    rng = np.random.default_rng(seed)
    features = graph.nodes.filter(kind="feature").select("layer", "feature").unique(maintain_order=True)
    features = features.head(most)
    count, vocabulary = len(features), 4_000
    ids = rng.zipf(1.3, (count, 8 * WIDTH)) % vocabulary
    values = np.where(rng.random((count, 8 * WIDTH)) < 0.15, rng.integers(1, 255, (count, 8 * WIDTH)), 0)
    values[:, BEFORE::WIDTH] = rng.integers(60, 255, (count, 8))
    maximum = rng.gamma(4, 2, count)
    labels = _labels(rng, count)
    tested = {"role": "on", "named": True, "recall_any": 0.5, "base": 0.01, "on": 300}
    precision, recall = rng.uniform(0.7, 1, count).tolist(), rng.uniform(0.05, 0.9, count).tolist()
    columns = {
        "layer": features["layer"],
        "feature": features["feature"],
        "frequency": rng.beta(1, 40, count),
        "negative": np.zeros(count),
        "maximum": maximum,
        "half": maximum / 2,
        "bars": (rng.gamma(1, 300, (count, 10))).astype(int).tolist(),
        "label": labels,
        "labels": [
            [{"text": text, "precision": p, "recall": r, **tested}]
            for text, p, r in zip(labels, precision, recall, strict=True)
        ],
        **dict.fromkeys(("on_tokens", "after_tokens", "domains"), [[]] * count),
        "promoted": rng.integers(0, vocabulary, (count, 8)).tolist(),
        "promoted_by": np.round(rng.gamma(3, 0.5, (count, 8)), 3).tolist(),
        "suppressed": rng.integers(0, vocabulary, (count, 5)).tolist(),
        "suppressed_by": np.round(-rng.gamma(3, 0.4, (count, 5)), 3).tolist(),
        "context_fifth": [[5, 5, 5, 5, 4, 3, 2, 1]] * count,
        "context_tokens": ids.tolist(),
        "context_values": values.tolist(),
    }
    table = pl.DataFrame(
        {name: pl.Series(name, values, CARD_SCHEMA[name]) for name, values in columns.items()}
    )
    meta = {
        "token_ids": list(range(vocabulary)),
        "token_texts": [f" {_word(i)}" for i in range(vocabulary)],
        "nothing": vocabulary,
        "settings": {"before": BEFORE, "after": WIDTH - BEFORE - 1},
        "text": {"domains": ["prose"]},
    }
    return Cards(table, meta)


def _word(number: int) -> str:
    syllables = (
        "ka",
        "lo",
        "mi",
        "ter",
        "an",
        "su",
        "ro",
        "ve",
        "di",
        "on",
        "ba",
        "el",
        "qui",
        "sha",
        "en",
        "po",
    )
    return "".join(syllables[(number >> shift) % 16] for shift in (0, 4, 8)[: 1 + number % 3])


def _labels(rng: np.random.Generator, count: int) -> list[str]:
    picked = rng.integers(0, len(WORDS), (count, 4))
    return [" ".join(WORDS[word] for word in row[: 2 + row[0] % 3]) for row in picked.tolist()]


def _nodes(rng: np.random.Generator, size: Size) -> pl.DataFrame:
    """Tokens, constants, layers of features and errors, outputs."""
    tokens, errors = len(TOKENS), LAYERS * len(TOKENS)
    count = size.nodes - tokens - errors - len(OUTPUTS) - 1
    distinct = max(min(size.cards, count), 1)
    which = np.concatenate([np.arange(distinct), rng.integers(0, distinct, count - distinct)])
    layer = which % LAYERS
    feature = 7 * (which // LAYERS) + layer
    # a feature that occurs again does so at another position
    again = pl.DataFrame({"which": which}).select(pl.int_range(pl.len()).over("which")).to_series().to_numpy()
    pos = (which * 7 + 3 * again) % tokens
    labels = np.array(_labels(rng, distinct))
    features = pl.DataFrame(
        {"kind": "feature", "layer": layer, "pos": pos, "feature": feature, "label": labels[which]}
    ).with_columns(
        node=pl.format("{}/{}@{}", "layer", "feature", "pos"),
        activation=pl.Series(rng.gamma(2, 1.2, count) + 0.2),
        expanded=True,
        gate=pl.lit("relu"),
    )
    features = features.unique("node", maintain_order=True)
    group = np.where(
        np.arange(len(features)) < 15 * size.concepts, np.arange(len(features)) % max(size.concepts, 1), -1
    )
    names = pl.Series([None if g < 0 else f"group {g + 1}" for g in group.tolist()], dtype=pl.String)
    grid = np.indices((LAYERS, tokens)).reshape(2, -1)
    rest = pl.DataFrame({"kind": "error", "layer": grid[0], "pos": grid[1]}).with_columns(
        node=pl.format("err{}@{}", "layer", "pos"), activation=1.0
    )
    words = pl.DataFrame({"kind": "token", "pos": np.arange(tokens)}).with_columns(
        node=pl.format("tok@{}", "pos"), activation=1.0
    )
    own = pl.DataFrame({"node": ["bias:own"], "kind": ["bias"], "activation": [1.0]})
    weight = [0.6, 0.25, 0.1]
    logits = pl.DataFrame(
        {
            "node": [f"logit:{text.strip()}" for text in OUTPUTS],
            "kind": "logit",
            "pos": tokens - 1,
            "activation": [15.0, 13.2, 11.9],
            "expanded": True,
            "target_weight": weight,
        }
    )
    middle = pl.concat([features.with_columns(concept=names), rest], how="diagonal_relaxed")
    table = pl.concat([words, own, middle.sort("layer", maintain_order=True), logits], how="diagonal_relaxed")
    filled = {"expanded": False, "truncated": 0.0, "target_weight": 0.0}
    table = table.with_columns(
        pl.col(n).fill_null(v) if n in table.columns else pl.lit(v).alias(n) for n, v in filled.items()
    )
    missing = [pl.lit(None).alias(name) for name in NODE_SCHEMA if name not in table.columns]
    return table.with_columns(missing).select(*NODE_SCHEMA).cast(dict(NODE_SCHEMA))


def _wired(rng: np.random.Generator, nodes: pl.DataFrame, edges: int) -> Graph:
    """The graph with edges from what is earlier, whose weights add up with a constant."""
    size = len(nodes)
    kind = nodes["kind"].cast(pl.String).to_numpy()
    layer = nodes["layer"].fill_null(-1).to_numpy().copy()
    layer[kind == "logit"] = LAYERS
    pos = nodes["pos"].fill_null(len(TOKENS)).to_numpy()
    targets = np.flatnonzero(nodes["expanded"].to_numpy())
    wanted = max(edges - len(targets), 0)
    begins = np.searchsorted(layer, np.arange(LAYERS + 1))  # rows below a layer come before this
    found = np.zeros(0, np.int64)
    while len(found) < wanted:
        heavy = np.concatenate([targets, np.repeat(np.flatnonzero(kind == "logit"), 30)])
        target = rng.choice(heavy, 2 * wanted + 1_000)
        source = (rng.random(len(target)) * begins[layer[target]]).astype(np.int64)
        fits = (pos[source] <= pos[target]) & (kind[source] != "bias")
        pairs = np.sort(np.concatenate([found, target[fits] * size + source[fits]]))
        found = pairs[np.append(True, np.diff(pairs) > 0)]  # much faster than np.unique
    drawn = np.sort(rng.choice(found, wanted, replace=False))
    target, source = drawn // size, drawn % size
    inputs = np.bincount(target, minlength=size)
    activation = nodes["activation"].to_numpy()
    weight = rng.standard_t(3, wanted) * activation[target] / np.sqrt(inputs[target])
    constant = activation[targets] - np.bincount(target, weights=weight, minlength=size)[targets]
    own = int(np.flatnonzero(kind == "bias")[0])
    source = np.concatenate([source, np.full(len(targets), own)])
    target, weight = np.concatenate([target, targets]), np.concatenate([weight, constant])
    nodes = nodes.with_columns(
        pre_activation=pl.when(pl.col("expanded")).then(pl.col("activation")),
        truncated=pl.when(pl.col("expanded")).then(0.05 * pl.col("activation")).otherwise(0.0),
    )
    values = weight.astype(np.float32), (weight / activation[source]).astype(np.float32)
    ends = source.astype(np.int32), target.astype(np.int32)
    return Graph.of(nodes, ends, values, _meta(len(nodes)))


def _hyperedges(rng: np.random.Generator, graph: Graph, count: int) -> pl.DataFrame:
    """Pairs and triples towards the output, into gates and in attention, in equal parts, and shares."""
    if count == 0:
        return graph.hyperedges
    nodes = graph.nodes.filter(kind="feature").sort("influence", descending=True).head(max(60, count))
    names, layers = nodes["node"].to_list(), nodes["layer"].to_list()
    gates = ["and", "or", "inhibit", "xor", "additive", "other"]
    columns: dict[str, list[object]] = {
        name: []
        for name in ("members", "target", "index", "weight", "low", "high", "effect", "gate", "channel")
    }
    seen: set[tuple[str, ...]] = set()
    while len(columns["weight"]) < count:
        channel = ("output", "mlp", "qk")[len(columns["weight"]) % 3]
        order = 3 if rng.random() < 0.2 and channel == "output" else 2
        rows = sorted(rng.choice(len(names), order + 1, replace=False).tolist(), key=lambda row: layers[row])
        members = [names[row] for row in rows[:order]]
        target = {"output": graph.targets[0], "mlp": names[rows[-1]]}.get(channel)
        if target is None:
            query, key = sorted(rng.integers(0, len(TOKENS), 2).tolist(), reverse=True)
            target = f"score:{rng.integers(LAYERS)}.{rng.integers(HEADS)}@{query},{key}"
        weight = float(rng.standard_t(4))
        if (key_ := (*members, target)) in seen or (
            channel == "mlp" and layers[rows[-1]] <= layers[rows[-2]]
        ):
            continue
        seen.add(key_)
        told = (
            members,
            target,
            "SII",
            weight,
            weight - 0.1,
            weight + 0.1,
            2 * weight,
            gates[rng.integers(6)],
            channel,
        )
        for name, value in zip(columns, told, strict=True):
            columns[name].append(value)
    whole = hyperedge_table({**columns, "engine": "sampling", "estimated": True})
    output = whole.filter(channel="output")
    shares = [
        output.with_columns(via=pl.lit(names[at]), weight=pl.col("weight") * part, effect=None)
        for at, part in ((0, 0.6), (1, 0.3))
    ]
    return named(pl.concat([whole, *(part.cast(dict(whole.schema)) for part in shares)]))


def _verdicts(rng: np.random.Generator, graph: Graph, count: int) -> pl.DataFrame:
    names = (
        graph.nodes.filter(kind="feature").sort("influence", descending=True)["node"].head(count).to_list()
    )
    predicted = rng.normal(size=len(names))
    measured = predicted + rng.normal(size=len(names)) * 0.1
    columns = {
        "verdict": [f"v{i}" for i in range(len(names))],
        "claim": [f"{name} off" for name in names],
        "kind": "node",
        "members": [[name] for name in names],
        "actions": [[f"{name}=0"] for name in names],
        "target": graph.targets[0],
        "order": 1,
        "layers": 3,
        "held": "nothing",
        "before": 15.0,
        "predicted": predicted,
        "measured": measured,
        "tolerance": 0.15,
        "holds": np.abs(measured - predicted) < 0.15,
        "forced": False,
    }
    return pl.DataFrame(columns, schema=VERDICT_SCHEMA)


def _meta(nodes: int) -> dict[str, object]:
    return {
        "prompt": {"text": "".join(TOKENS), "ids": list(range(len(TOKENS))), "tokens": list(TOKENS)},
        "targets": [
            {"name": f"logit:{text.strip()}", "tokens": [text], "probability": p}
            for text, p in zip(OUTPUTS, (0.6, 0.25, 0.1), strict=True)
        ],
        "model": {"name": "made up", "architecture": "llama", "fingerprint": "0123456789abcdef"},
        "dictionary": {
            "kind": "transcoder",
            "fingerprint": "fedcba9876543210",
            "layers": list(range(LAYERS)),
        },
        "methods": {"edges": {"tolerance": 1e-4, "max_features": nodes}},
        "interactions": {"output": {"found": {"2": 100}}},
        "versions": {"circuits": "0.1.0"},
        "command": "circuits attribute 'made up' -o run/big",
    }
