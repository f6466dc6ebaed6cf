"""Which planted models there are, and how one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from circuits.errors import NotFound, UsageError, near_matches
from circuits.planted import basic, wired
from circuits.planted.design import Design, Unit
from circuits.planted.embed import embedded, numbered
from circuits.planted.truth import Combination, Connection, Planted, Truth
from circuits.trace import Trace

_DESIGNS: Final[Mapping[str, Callable[[], Design]]] = MappingProxyType(
    {
        "and": basic.conjunction,
        "and-jumprelu": basic.conjunction_by_threshold,
        "or": basic.disjunction,
        "or-dormant": basic.disjunction_by_absence,
        "xor": basic.parity,
        "not": basic.negation,
        "and-not": basic.inhibition,
        "majority": basic.majority,
        "and-of-three": basic.conjunction_of_three,
        "nested-and": basic.nested_conjunction,
        "additive": basic.additive,
        "additive-thresholds": basic.additive_thresholds,
        "cancelling-paths": wired.cancelling_paths,
        "cancelling-gates": wired.cancelling_gates,
        "across-positions": wired.across_positions,
        "query-key": wired.query_key,
        "cross-layer": wired.cross_layer,
        "superposed": wired.superposed,
        "entangled": wired.entangled,
        "decoys": wired.decoys,
    }
)

PLANTED: Final[tuple[str, ...]] = tuple(_DESIGNS)
"""Names of all planted models."""


def plant(
    name: str,
    *,
    seed: int = 0,
    distractors: int = 0,
    noise: float = 0.0,
    dtype: type[np.floating[Any]] = np.float64,
) -> Planted:
    """Gives a small transformer with its dictionary, on one prompt, whose circuit is known.

    Args:
        name: one of `PLANTED`.
        seed: turns the residual stream at random, numbers the features, draws scales, distractors, noise.
        distractors: so many features more that are active and do nothing: every other one goes with a
            concept (a decoy), the others have a word of their own.
        noise: standard deviation of how much of every other direction each feature writes by accident,
            per unit of activation. The truth stays what it is without.
        dtype: float64 or float32.

    Raises:
        NotFound: no planted model of that name; near matches are offered.
        UsageError: a negative number of distractors, or noise below 0 or not finite.

    Example:
        >>> plant("and")
        Planted('and': one gate that needs both A and B)
        >>> plant("and").truth.table
        (0.0, 0.0, 0.0, 1.0)
    """
    if name not in _DESIGNS:
        known = ", ".join(PLANTED)
        raise NotFound(f"No planted model {name!r}: there are {known}.{near_matches(name, PLANTED)}")
    if distractors < 0:
        raise UsageError(f"{distractors} distractors cannot be planted: give 0 or more.")
    if not (np.isfinite(noise) and noise >= 0):
        raise UsageError(f"Noise {noise} is no standard deviation: give 0 or more.")
    rng = np.random.default_rng(seed)
    design = _distracted(_DESIGNS[name](), distractors, rng)
    nodes = numbered(design, rng)
    trace = embedded(design, nodes, noise, rng)
    trace = replace(trace, meta={"planted": {"name": name, "seed": seed, "noise": noise}})
    return Planted(
        name=name,
        sentence=design.sentence,
        trace=_cast(trace, np.dtype(dtype)),
        truth=_truth(design, nodes),
        concepts={concept: (nodes[concept],) for concept in design.concepts},
        target="logit:yes",
        names=nodes,
    )


def _distracted(design: Design, count: int, rng: np.random.Generator) -> Design:
    """Gives the design with features that are active and do nothing."""
    words = {p: dict(lines) for p, lines in design.words.items()}
    by_name = {unit.name: unit for unit in design.units}
    more = []
    for i in range(count):
        twin = by_name[design.concepts[int(rng.integers(len(design.concepts)))]]
        name, size = f"distractor {i}", float(rng.choice([0.5, 1.0, 2.0]))
        if i % 2:
            reads = {line: size * x for line, x in twin.reads.items()}
        else:
            words.setdefault(twin.position, {})[f"word {i}"] = size
            reads = {f"word {i}": 1.0}
        more.append(Unit(name, twin.layer, reads, position=twin.position, matters=False))
    units = tuple(sorted((*design.units, *more), key=lambda unit: unit.layer))
    return replace(design, words=words, units=units)


def _truth(design: Design, nodes: Mapping[str, str]) -> Truth:
    """Gives the truth of a design, by names of nodes."""
    matters = {unit.name for unit in design.units if unit.matters}
    heard = [unit for unit in design.units if unit.matters]
    tokens = {f"tok@{p}" for p in design.words if any(design.strength(p, unit) for unit in heard)}
    return Truth(
        nodes=frozenset({nodes[name] for name in matters} | tokens),
        edges=tuple(_edges(design, nodes)),
        combinations=tuple(
            Combination(
                tuple(nodes[member] for member in c.members),
                nodes.get(c.target, c.target),
                c.kind,
                dict(c.values),
            )
            for c in design.combinations
        ),
        gate=design.gate,
        table=design.table,
    )


def _edges(design: Design, nodes: Mapping[str, str]) -> list[Connection]:
    """Gives every edge of a design."""
    _, activation, _ = design.activations()
    found = []
    for target in (*design.units, None):
        to = nodes["yes" if target is None else target.name]
        bias = design.bias if target is None else target.bias
        heard = target is None or target.matters
        if bias:
            found.append(Connection("bias:own", to, bias, bias, heard))
        tokens = [(f"tok@{p}", design.strength(p, target)) for p in range(len(design.tokens))]
        found += [Connection(name, to, weight, weight, heard) for name, weight in tokens if weight]
        for source in design.units:
            if strength := design.strength(source, target):
                weight, matters = strength * activation[source.name], heard and source.matters
                found.append(Connection(nodes[source.name], to, weight, strength, matters))
    return found


def _cast(trace: Trace, dtype: np.dtype[Any]) -> Trace:
    """Gives the trace with all floats of one kind."""

    def cast(part: Any) -> Any:
        changes = {
            name: value.astype(dtype)
            for name, value in vars(part).items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        }
        return replace(part, **changes)

    inner = {
        name: cast(part)
        for name in ("attention", "scores", "mlp", "features", "reads", "writes", "targets")
        if (part := getattr(trace, name)) is not None
    }
    return cast(replace(trace, **inner)) if dtype != trace.dtype else trace
