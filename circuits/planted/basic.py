"""Designs at one position: the gates. Each function is one model, with its truth worked out by hand.

Gates have margins: a step of 3/2 a concept against a bias between the steps, so that a little noise moves
no truth table across a kink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from circuits.planted.design import Design, Lines, Unit
from circuits.planted.truth import Combination, GateType

STEP = 1.5
"""What a concept contributes to a gate."""

ACTIVATIONS = {"A": 2.0, "B": 0.5, "C": 1.0}
"""What each concept's feature has on the prompt."""


def concept(name: str, position: int = -1, *, word: str | None = None) -> Unit:
    """Gives the feature of a concept, which reads its word."""
    return Unit(name, 0, {word or f"word {name}": 1.0}, position=position)


def words(*names: str) -> Lines:
    """Gives what the token writes so that these concepts are on."""
    return {f"word {name}": ACTIVATIONS[name] for name in names}


def step(*names: str, down: tuple[str, ...] = (), size: float = STEP) -> Lines:
    """Gives reads by which each concept contributes `size`, or takes it away if named in `down`."""
    return {name: (-size if name in down else size) / ACTIVATIONS[name] for name in (*names, *down)}


def exact(
    members: tuple[str, ...], target: str, kind: str, value: float | tuple[float, float, float]
) -> Combination:
    """Gives a combination: one value for all indices, or those of Moebius, SII and Co-Moebius."""
    moebius, sii, co_moebius = (value,) * 3 if isinstance(value, float) else value
    return Combination(members, target, kind, {"Moebius": moebius, "SII": sii, "Co-Moebius": co_moebius})


def design(
    sentence: str,
    gates: tuple[Unit, ...],
    reads: Lines,
    known: tuple[GateType, tuple[float, ...]],
    combinations: tuple[Combination, ...] = (),
    concepts: str = "AB",
) -> Design:
    """Gives a design with all concepts on one token, after another that writes nothing."""
    gate, table = known
    return Design(
        sentence=sentence,
        tokens=("the", " word"),
        words={1: words(*concepts)},
        units=(*(concept(name) for name in concepts), *gates),
        reads=reads,
        concepts=tuple(concepts),
        gate=gate,
        table=table,
        combinations=combinations,
    )


def conjunction() -> Design:
    """3/2 A + 3/2 B − 2 is above 0 with both only: 1."""
    return design(
        "one gate that needs both A and B",
        (Unit("gate", 1, step("A", "B"), bias=-2.0),),
        {"gate": 1.0},
        ("and", (0.0, 0.0, 0.0, 1.0)),
        (exact(("A", "B"), "gate", "and", 1.0), exact(("A", "B"), "yes", "and", 1.0)),
    )


def conjunction_by_threshold() -> Design:
    """A + B passes a threshold of 3/2 with both only, and then is 2: no bias, a jump."""
    return design(
        "one JumpReLU gate whose threshold only A and B together pass",
        (Unit("gate", 1, step("A", "B", size=1.0), gate="jumprelu", threshold=1.5),),
        {"gate": 1.0},
        ("and", (0.0, 0.0, 0.0, 2.0)),
        (exact(("A", "B"), "gate", "and", 2.0), exact(("A", "B"), "yes", "and", 2.0)),
    )


def _two_gates() -> tuple[Unit, Unit]:
    """Of x concepts on: `low` is 0, 1, 5/2 and `high` 0, 0, 1."""
    return Unit("low", 1, step("A", "B"), bias=-0.5), Unit("high", 1, step("A", "B"), bias=-2.0)


def _in_two_gates(kind: str, output: float) -> tuple[Combination, ...]:
    """Into `low`: 5/2 − 1 − 1; into `high`: 1."""
    return (
        exact(("A", "B"), "low", "and", 0.5),
        exact(("A", "B"), "high", "and", 1.0),
        exact(("A", "B"), "yes", kind, output),
    )


def disjunction() -> Design:
    """Low − 3/2 high: 0, 1, 5/2 − 3/2."""
    return design(
        "A or B: a second gate takes away what the two have too much",
        _two_gates(),
        {"low": 1.0, "high": -1.5},
        ("or", (0.0, 1.0, 1.0, 1.0)),
        _in_two_gates("or", -1.0),
    )


def disjunction_by_absence() -> Design:
    """1 − ReLU(1 − 3/2 A − 3/2 B): the gate is off on the prompt and turns on when both are taken away."""
    drawn = design(
        "A or B: each alone keeps a gate off that would take the output away",
        (Unit("gate", 1, step(down=("A", "B")), bias=1.0),),
        {"gate": -1.0},
        ("or", (0.0, 1.0, 1.0, 1.0)),
        # the gate: 1, 0, 0, 0
        (exact(("A", "B"), "gate", "or", 1.0), exact(("A", "B"), "yes", "or", -1.0)),
    )
    return replace(drawn, bias=1.0)


def parity() -> Design:
    """Low − 5/2 high: 0, 1, 5/2 − 5/2."""
    return design(
        "A or B but not both",
        _two_gates(),
        {"low": 1.0, "high": -2.5},
        ("xor", (0.0, 1.0, 1.0, 0.0)),
        _in_two_gates("xor", -2.0),
    )


def negation() -> Design:
    """ReLU(1 − 3/2 A): off on the prompt."""
    return design(
        "A keeps a gate off: not A",
        (Unit("gate", 1, step(down=("A",)), bias=1.0),),
        {"gate": 1.0},
        ("not", (1.0, 0.0)),
        concepts="A",
    )


def inhibition() -> Design:
    """ReLU(3/2 A − 3/2 B − 1/2): 0, 1, 0, 0; off on the prompt, where B is there."""
    return design(
        "A, unless B is there too",
        (Unit("gate", 1, step("A", down=("B",)), bias=-0.5),),
        {"gate": 1.0},
        ("inhibit", (0.0, 1.0, 0.0, 0.0)),
        (exact(("A", "B"), "gate", "inhibit", -1.0), exact(("A", "B"), "yes", "inhibit", -1.0)),
    )


PAIRS = (("A", "B"), ("A", "C"), ("B", "C"))
ABC = ("A", "B", "C")


def _only_all_three(target: str) -> tuple[Combination, ...]:
    """0 but for the three together, which are 1: with the third on, any two are an AND."""
    pairs = (exact(pair, target, "and", (0.0, 0.5, 1.0)) for pair in PAIRS)
    return (*pairs, exact(ABC, target, "and", 1.0))


def majority() -> Design:
    """By the number on: low 0, 0, 1, 5/2; high 0, 0, 0, 1; low − 3/2 high is 0, 0, 1, 1."""
    low = (
        *(exact(pair, "low", "and", (1.0, 0.75, 0.5)) for pair in PAIRS),
        exact(ABC, "low", "and", -0.5),
    )
    output = (
        *(exact(pair, "yes", "or", (1.0, 0.0, -1.0)) for pair in PAIRS),
        exact(ABC, "yes", "other", -2.0),
    )
    return design(
        "at least two of A, B and C",
        (Unit("low", 1, step(*ABC), bias=-2.0), Unit("high", 1, step(*ABC), bias=-3.5)),
        {"low": 1.0, "high": -1.5},
        ("majority", (0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0)),
        (*low, *_only_all_three("high"), *output),
        "ABC",
    )


def conjunction_of_three() -> Design:
    """3/2 (A + B + C) − 7/2: 1 with all three only."""
    return design(
        "one gate that needs A, B and C",
        (Unit("gate", 1, step(*ABC), bias=-3.5),),
        {"gate": 1.0},
        ("and", (0.0,) * 7 + (1.0,)),
        (*_only_all_three("gate"), *_only_all_three("yes")),
        "ABC",
    )


def nested_conjunction() -> Design:
    """The gate of A and B is 1 with both, and the second gate needs that and C."""
    second: Mapping[str, float] = {"inner": STEP, **step("C")}
    return design(
        "a gate that needs C and another gate, which needs A and B",
        (Unit("inner", 1, step("A", "B"), bias=-2.0), Unit("outer", 2, second, bias=-2.0)),
        {"outer": 1.0},
        ("and", (0.0,) * 7 + (1.0,)),
        (
            exact(("A", "B"), "inner", "and", 1.0),
            exact(("C", "inner"), "outer", "and", 1.0),
            *_only_all_three("yes"),
        ),
        "ABC",
    )


def additive() -> Design:
    """1/2 + 3/2 A + 3/2 B never nears its kink; B goes to the output beside it: 1/2, 2, 3, 9/2."""
    return design(
        "A and B pass one gate that is always on: they only add",
        (Unit("gate", 1, step("A", "B"), bias=0.5),),
        {"gate": 1.0, "B": 1.0 / ACTIVATIONS["B"]},
        ("additive", (0.5, 2.0, 3.0, 4.5)),
    )


def additive_thresholds() -> Design:
    """ReLU(3/2 A − 1/2) + 2 ReLU(3/2 B − 1/2): 0, 1, 2, 3."""
    return design(
        "A and B pass a gate each, with a threshold: they only add",
        (Unit("first", 1, step("A"), bias=-0.5), Unit("second", 1, step("B"), bias=-0.5)),
        {"first": 1.0, "second": 2.0},
        ("additive", (0.0, 1.0, 2.0, 3.0)),
    )
