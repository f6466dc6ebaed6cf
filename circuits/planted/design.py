"""A network drawn by hand: units that read and write named lines. Its edges follow by pencil and paper.

A **line** is one direction of the residual stream, with a name. A unit reads lines with coefficients,
applies its gate, and writes lines; a head copies one line of the positions it looks at onto another
line. The edge from a source to a unit is a sum of products of these numbers, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from circuits.planted.truth import Combination, GateType
from circuits.schema import GateName

Lines = Mapping[str, float]
"""Coefficients by line."""

LAST = 10**6
"""The layer of what reads the end of the stream."""


@dataclass(frozen=True)
class Unit:
    """A feature: `activation = gate(bias + Σ reads · lines)`, and it writes `activation · writes`.

    Attributes:
        name: in the design; the line it writes unless `writes` says otherwise.
        layer: where it is.
        reads: coefficients by line.
        bias: its own constant.
        gate: by name; `threshold` with it.
        threshold: for jumprelu and topk.
        writes: coefficients by line; {name: 1} unless given.
        into: a factor by layer it writes into; its own layer, once, unless given.
        position: of the token; the last one unless given.
        matters: it belongs to the circuit.
    """

    name: str
    layer: int
    reads: Lines
    bias: float = 0.0
    gate: GateName = "relu"
    threshold: float = 0.0
    writes: Lines | None = None
    into: Mapping[int, float] | None = None
    position: int = -1
    matters: bool = True

    @property
    def lines(self) -> Lines:
        """Gives what it writes for each unit of activation."""
        return {self.name: 1.0} if self.writes is None else self.writes

    @property
    def layers(self) -> Mapping[int, float]:
        """Gives the layers it writes into, with factors."""
        return {self.layer: 1.0} if self.into is None else self.into


@dataclass(frozen=True)
class Head:
    """An attention head, frozen: line `into` at q receives gain · Σ_k pattern[q][k] · (line `reads` at k).

    Where `query` and `key` are given, score(q, k) is what it reads by `query` at q times what it reads by
    `key` at k, and `pattern` the softmax of that.
    """

    layer: int
    pattern: tuple[tuple[float, ...], ...]
    reads: str
    into: str
    gain: float
    query: Lines | None = None
    key: Lines | None = None


@dataclass(frozen=True)
class Design:
    """A planted model before it is put into vectors.

    Attributes:
        sentence: what it is.
        tokens: of the prompt.
        words: what each token writes, by position and line.
        units: the features, those of lower layers first.
        reads: what the output reads at the last position, by line.
        concepts: names of the units that are switched.
        gate: what the output is of the concepts.
        table: see `Truth.table`.
        combinations: interactions, by names of units; "yes" is the output.
        bias: the output's own constant.
        heads: attention.
        layers: how many there are at least.
    """

    sentence: str
    tokens: tuple[str, ...]
    words: Mapping[int, Lines]
    units: tuple[Unit, ...]
    reads: Lines
    concepts: tuple[str, ...]
    gate: GateType
    table: tuple[float, ...]
    combinations: tuple[Combination, ...] = ()
    bias: float = 0.0
    heads: tuple[Head, ...] = ()
    layers: int = 1

    def __post_init__(self) -> None:
        last = len(self.tokens) - 1
        placed = tuple(replace(u, position=last) if u.position < 0 else u for u in self.units)
        object.__setattr__(self, "units", placed)

    @property
    def n_layers(self) -> int:
        """Gives the number of layers."""
        return max(self.layers, 1 + max(max(unit.layers) for unit in self.units))

    def strength(self, source: Unit | int, target: Unit | None) -> float:
        """Gives the edge from a unit, or the token at a position, to a unit or (None) the output.

        For each thing the source writes: what the target reads of that line at its own position, and
        what heads in between bring there from the source's.
        """
        where = source if isinstance(source, int) else source.position
        lines = self.words.get(source, {}) if isinstance(source, int) else source.lines
        layers = {-1: 1.0} if isinstance(source, int) else source.layers
        reads = self.reads if target is None else target.reads
        at = len(self.tokens) - 1 if target is None else target.position
        layer = LAST if target is None else target.layer
        total = 0.0
        for written, factor in layers.items():
            if written >= layer:
                continue
            if where == at:
                total += factor * sum(x * reads.get(line, 0.0) for line, x in lines.items())
            for head in self.heads:
                if written < head.layer <= layer:
                    moved = lines.get(head.reads, 0.0) * head.gain * head.pattern[at][where]
                    total += factor * moved * reads.get(head.into, 0.0)
        return total

    def activations(self) -> tuple[dict[str, float], dict[str, float], float]:
        """Gives pre-activation and activation of every unit, and the output: layer by layer."""
        z: dict[str, float] = {}
        a: dict[str, float] = {}
        below = [p for p in range(len(self.tokens)) if self.words.get(p)]

        def total(target: Unit | None) -> float:
            from_words = sum(self.strength(p, target) for p in below)
            return from_words + sum(self.strength(u, target) * a[u.name] for u in self.units if u.name in a)

        for unit in self.units:
            z[unit.name] = unit.bias + total(unit)
            a[unit.name] = _gate(unit, z[unit.name])
        return z, a, self.bias + total(None)


def _gate(unit: Unit, z: float) -> float:
    if unit.gate == "linear":
        return z
    return z if z > unit.threshold else 0.0  # relu has threshold 0
