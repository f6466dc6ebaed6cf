"""A design put into vectors: every line a direction of a randomly turned residual stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from circuits.planted.design import Design, Head, Lines, Unit
from circuits.prompt import Prompt
from circuits.schema import feature_name, parse_feature
from circuits.trace import Attention, Features, Mlp, Scores, Targets, Terms, Trace

SPARE = 4
"""Directions of the stream that no line uses."""

HEAD_WIDTH = 2


def numbered(design: Design, rng: np.random.Generator) -> dict[str, str]:
    """Gives the node of every unit, numbered at random within its layer, and of the output ("yes")."""
    names: dict[str, str] = {"yes": "logit:yes"}
    for layer in range(design.n_layers):
        here = [unit for unit in design.units if unit.layer == layer]
        numbers = rng.permutation(len(here))
        for unit, number in zip(here, numbers, strict=True):
            names[unit.name] = feature_name(layer, int(number), unit.position)
    return names


def embedded(design: Design, nodes: Mapping[str, str], noise: float, rng: np.random.Generator) -> Trace:
    """Gives the trace of a design in float64; without noise its edges are the design's.

    Args:
        design: what to build.
        nodes: the node of every unit.
        noise: see `plant`.
        rng: turns the stream, draws scales and noise.
    """
    direction = _directions(design, rng)
    width = len(next(iter(direction.values())))

    def vector(lines: Lines) -> Float[np.ndarray, "d"]:
        return sum((x * direction[line] for line, x in lines.items()), np.zeros(width))

    n, layers = len(design.tokens), design.n_layers
    # powers of two, so that dividing by them is exact
    read_scale, write_scale = (2.0 ** rng.integers(-1, 2, size=(layers, n)) for _ in range(2))
    units = _sorted(design, nodes)
    spilt = noise * rng.normal(size=(len(units), width))
    reads, writes = _terms(units, read_scale, write_scale)
    names = [nodes[unit.name] for unit in units]
    draft = Trace(
        prompt=Prompt("".join(design.tokens).strip(), tuple(range(n)), design.tokens),
        n_layers=layers,
        token_embedding=np.stack([vector(design.words.get(p, {})) for p in range(n)]),
        position_embedding=None,
        attention=_attention(design, direction, rng) if design.heads else None,
        scores=_scores(design, direction) if any(head.query for head in design.heads) else None,
        mlp=Mlp(read_scale, write_scale),
        vectors=np.concatenate(
            [
                np.stack([vector(unit.reads) for unit in units]),
                np.stack([vector(unit.lines) for unit in units]) + spilt,
            ]
        ),
        features=_features(units, names),
        reads=reads,
        writes=writes,
        targets=Targets(
            names=("logit:yes",),
            vector=vector(design.reads)[None],
            position=np.array([n - 1], np.int32),
            bias=np.array([design.bias]),
            weight=np.ones(1),
            value=np.zeros(1),
            feature=np.array([-1], np.int32),
        ),
        labels={nodes[unit.name]: unit.name for unit in units},
    )
    return _settled(draft)


def _sorted(design: Design, nodes: Mapping[str, str]) -> list[Unit]:
    """Gives the units by layer, position and number."""

    def place(unit: Unit) -> tuple[int, int, int]:
        return unit.layer, unit.position, _number(nodes[unit.name])

    return sorted(design.units, key=place)


def _number(node: str) -> int:
    place = parse_feature(node)
    assert place is not None
    return place[1]


def _directions(design: Design, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "d"]]:
    """Gives a direction for every line, at right angles to each other and to no axis in particular."""
    lines: dict[str, None] = {}
    for part in (
        *design.words.values(),
        *(unit.reads for unit in design.units),
        *(unit.lines for unit in design.units),
        *({head.reads: 1.0, head.into: 1.0} for head in design.heads),
        *({**(head.query or {}), **(head.key or {})} for head in design.heads),
        design.reads,
    ):
        lines |= dict.fromkeys(part)
    turned, _ = np.linalg.qr(rng.normal(size=(len(lines) + SPARE, len(lines) + SPARE)))
    return dict(zip(lines, turned, strict=False))


def _terms(
    units: list[Unit], read_scale: Float[np.ndarray, "L n"], write_scale: Float[np.ndarray, "L n"]
) -> tuple[Terms, Terms]:
    """Gives what units read and write; `vectors` holds all reads, then all writes."""
    each = np.arange(len(units), dtype=np.int32)
    layer = np.array([unit.layer for unit in units], np.int32)
    position = np.array([unit.position for unit in units], np.int32)
    reads = Terms(each, each, layer, 1 / read_scale[layer, position])
    into = [(i, to, factor) for i, unit in enumerate(units) for to, factor in unit.layers.items()]
    writer, to = (np.array([row[at] for row in into], np.int32) for at in (0, 1))
    factor = np.array([row[2] for row in into])
    writes = Terms(
        writer, (writer + len(units)).astype(np.int32), to, factor / write_scale[to, position[writer]]
    )
    return reads, writes


def _features(units: list[Unit], names: list[str]) -> Features:
    """Gives the rows of features, not yet run."""
    gates = tuple(sorted({unit.gate for unit in units}))
    return Features(
        layer=np.array([unit.layer for unit in units], np.int32),
        position=np.array([unit.position for unit in units], np.int32),
        id=np.array([_number(name) for name in names], np.int32),
        activation=np.zeros(len(units)),
        pre_activation=np.zeros(len(units)),
        bias=np.array([unit.bias for unit in units]),
        threshold=np.array([unit.threshold for unit in units]),
        gate=np.array([gates.index(unit.gate) for unit in units], np.int8),
        gates=gates,
    )


def _attention(
    design: Design, direction: Mapping[str, Float[np.ndarray, "d"]], rng: np.random.Generator
) -> Attention:
    """Gives the heads, each in its own turned basis; layers without them write nothing."""
    n, layers = len(design.tokens), design.n_layers
    width = len(next(iter(direction.values())))
    by_layer = _by_layer(design)
    heads = max(len(here) for here in by_layer)
    every = np.tri(n) / np.arange(1, n + 1)[:, None]  # scores of 0: all that is seen, alike
    pattern = np.tile(every, (layers, heads, 1, 1))
    value = np.zeros((layers, heads, HEAD_WIDTH, width))
    output = np.zeros((layers, heads, width, HEAD_WIDTH))
    for layer, here in enumerate(by_layer):
        for h, head in enumerate(here):
            turned, _ = np.linalg.qr(rng.normal(size=(HEAD_WIDTH, HEAD_WIDTH)))
            pattern[layer, h] = head.pattern
            value[layer, h] = np.outer(turned[0], direction[head.reads])
            output[layer, h] = head.gain * np.outer(direction[head.into], turned[0])
    ones = np.ones((layers, n))
    return Attention(pattern, value, output, ones, ones)


def _by_layer(design: Design) -> list[list[Head]]:
    return [[head for head in design.heads if head.layer == layer] for layer in range(design.n_layers)]


def _scores(design: Design, direction: Mapping[str, Float[np.ndarray, "d"]]) -> Scores:
    """Gives queries and keys of one dimension, the other staying 0."""
    n, layers, by_layer = len(design.tokens), design.n_layers, _by_layer(design)
    heads = max(len(here) for here in by_layer)
    width = len(next(iter(direction.values())))
    query, key = (np.zeros((layers, heads, HEAD_WIDTH, width)) for _ in range(2))
    for layer, here in enumerate(by_layer):
        for h, head in enumerate(here):
            for side, lines in ((query, head.query), (key, head.key)):
                side[layer, h, 0] = sum(
                    (x * direction[line] for line, x in (lines or {}).items()), np.zeros(width)
                )
    ones = np.ones((layers, heads, n))
    return Scores(query, key, ones, ones, np.ones(layers))


def _settled(draft: Trace) -> Trace:
    """Gives the trace with the numbers of its own forward pass filled in."""
    rows, n = draft.features, draft.n_positions
    read, write = np.split(draft.vectors, 2)
    r, z, a = draft.token_embedding.copy(), np.zeros(len(rows)), np.zeros(len(rows))
    for layer in range(draft.n_layers):
        if draft.attention is not None:
            at = draft.attention
            moved = np.einsum("hqk,hrd,kd->hqr", at.pattern[layer], at.value[layer], r)
            r = r + np.einsum("hdr,hqr->qd", at.output[layer], moved)
        for i in np.flatnonzero(rows.layer == layer).tolist():
            # scales are undone by the coefficients of the reads
            z[i] = rows.bias[i] + read[i] @ r[rows.position[i]]
            linear = rows.gates[rows.gate[i]] == "linear"
            a[i] = z[i] if linear or z[i] > rows.threshold[i] else 0.0
        terms = draft.writes
        out = np.zeros((n, draft.width))
        for e in np.flatnonzero(terms.layer == layer):
            i = int(terms.feature[e])
            p = int(rows.position[i])
            scale = float(terms.coefficient[e] * draft.mlp.write_scale[layer, p])
            out[p] += scale * a[i] * write[i]
        r = r + out
    value = draft.targets.bias + draft.targets.vector @ r[-1]
    return replace(
        draft,
        features=replace(rows, activation=a, pre_activation=z),
        targets=replace(draft.targets, value=value),
    )
