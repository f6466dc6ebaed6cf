"""Designs whose difficulty is the wiring: paths that cancel, attention, layers, superposition, decoys."""

from __future__ import annotations

from dataclasses import replace
from math import log

from circuits.planted.basic import ACTIVATIONS, concept, conjunction, design, exact, majority, step, words
from circuits.planted.design import Design, Head, Unit

OVERLAP, REST = 0.28, 0.96
"""7/25 and 24/25: a direction that leans to another, of length 1."""


def cancelling_paths() -> Design:
    """A reaches the output as ReLU(3/2 A) twice, with opposite signs; B alone is left."""
    return design(
        "A reaches the output by two paths that cancel; B by one",
        (Unit("up", 1, step("A")), Unit("down", 1, step("A")), Unit("gate", 1, step("B"))),
        {"up": 1.0, "down": -1.0, "gate": 1.0},
        ("additive", (0.0, 0.0, 1.5, 1.5)),
    )


def cancelling_gates() -> Design:
    """Two gates need A and B; what one adds the other takes away."""
    return design(
        "A and B act together through two gates that cancel",
        (Unit("up", 1, step("A", "B"), bias=-2.0), Unit("down", 1, step("A", "B"), bias=-2.0)),
        {"up": 1.0, "down": -1.0},
        ("none", (0.0, 0.0, 0.0, 0.0)),
        (exact(("A", "B"), "up", "and", 1.0), exact(("A", "B"), "down", "and", 1.0)),
    )


def across_positions() -> Design:
    """Two heads bring A and B from their tokens to the last, by half and by a quarter of their attention."""
    plain = conjunction()
    look_at_a = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.25, 0.25))
    look_at_b = ((1.0, 0.0, 0.0), (0.75, 0.25, 0.0), (0.5, 0.25, 0.25))
    reads = {f"{name} brought": size for name, size in step("A", "B").items()}
    return replace(
        plain,
        sentence="a gate that needs A and B, which attention brings from two other positions",
        tokens=("one", " two", " three"),
        words={0: words("A"), 1: words("B")},
        units=(concept("A", 0), concept("B", 1), Unit("gate", 1, reads, bias=-2.0, position=2)),
        heads=(Head(1, look_at_a, "A", "A brought", 2.0), Head(1, look_at_b, "B", "B brought", 4.0)),
    )


def query_key() -> Design:
    """The score between the last position and the first is ln 2 if A is at the first and B at the last.

    All other scores are 0, so the last position gives half of its attention to the first, and a third
    if A or B were not there: what it brings from there is 3 instead of 2. With the pattern frozen, A and B
    do nothing to the output.
    """
    looks = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.25, 0.25))
    query, key = {"B": 1.0 / ACTIVATIONS["B"]}, {"A": log(2) / ACTIVATIONS["A"]}
    return Design(
        sentence="a head that looks at a key because of A there and B here, and brings what it finds",
        tokens=("one", " two", " three"),
        words={0: {**words("A"), "word V": 2.0}, 2: words("B")},
        units=(concept("A", 0), concept("B", 2), concept("V", 0)),
        reads={"V brought": 1.0},
        concepts=("A", "B"),
        gate="none",
        table=(3.0, 3.0, 3.0, 3.0),
        combinations=(exact(("A", "B"), "score:1.0@2,0", "and", log(2)),),
        heads=(Head(1, looks, "V", "V brought", 3.0, query, key),),
        layers=2,
    )


def cross_layer() -> Design:
    """A writes half into each of three layers: a gate at layer 1 has read half of it, one at layer 2 both."""
    a = replace(concept("A"), into={0: 0.5, 1: 0.5, 2: 0.5})
    half, whole = step("A", "B"), step("A")
    # the early gate hears half of A: 3/4 + 3/2 − 2 = 1/4; the late one all of it
    early = Unit("early", 1, half, bias=-2.0)
    late = Unit("late", 2, {**whole, "early": 6.0}, bias=-2.0)
    drawn = design(
        "A writes into three layers, and gates of two layers read what has arrived",
        (early, late),
        {"late": 1.0},
        ("and", (0.0, 0.0, 0.0, 1.0)),
        (
            exact(("A", "B"), "early", "and", 0.25),
            exact(("A", "early"), "late", "and", 1.0),
            exact(("A", "B"), "yes", "and", 1.0),
        ),
    )
    return replace(drawn, units=(a, *drawn.units[1:]))


def _leaning(name: str, lines: dict[str, float]) -> Unit:
    """Gives a feature with a word of its own that writes a little of other features' lines."""
    return Unit(name, 0, {f"word {name}": 1.0}, writes=lines)


def superposed() -> Design:
    """D leans towards A, E away from B: 3/2 A + 3/2 B + 0.42 D − 0.42 E − 2.

    Of all coalitions only those with A and B pass the kink: 1, with D 1.42, with E 0.58, with both 1.
    So Moebius is 1 for AB, 0.42 for ABD, −0.42 for ABE, and 0 for ABDE and everything else.
    """
    plain, lean = conjunction(), 0.42
    # D and E act at activation 1, on lines read with 3/4 and 3
    d = _leaning("D", {"A": 2 * OVERLAP, "D": REST})
    e = _leaning("E", {"B": -0.5 * OVERLAP, "E": REST})
    gate = (
        exact(("A", "B"), "gate", "and", 1.0),
        exact(("A", "D"), "gate", "and", (0.0, lean / 2, lean)),
        exact(("B", "D"), "gate", "and", (0.0, lean / 2, lean)),
        exact(("A", "E"), "gate", "inhibit", (0.0, -lean / 2, -lean)),
        exact(("B", "E"), "gate", "inhibit", (0.0, -lean / 2, -lean)),
        exact(("A", "B", "D"), "gate", "and", lean),
        exact(("A", "B", "E"), "gate", "inhibit", -lean),
    )
    return replace(
        plain,
        sentence="a gate that needs A and B, whose directions two other features lean on",
        words={1: {**words("A", "B"), "word D": 1.0, "word E": 1.0}},
        units=(*plain.units[:2], d, e, plain.units[2]),
        combinations=(*gate, exact(("A", "B"), "yes", "and", 1.0)),
    )


def entangled() -> Design:
    """D leans so far towards A that it can stand in for it: any two of A, B and D are enough.

    D writes 2 of A's line at its activation of 5/2, as A does itself. With D on, A and B are an OR;
    without it, an AND.
    """
    vote = majority()
    swap = {"C": "D"}
    lean = (c for c in vote.combinations if c.target != "yes")
    return replace(
        vote,
        sentence="A and B before a third feature that can stand in for either: OR with it, AND without",
        words={1: {**words("A", "B"), "word D": 2.5}},
        units=(
            *vote.units[:2],
            _leaning("D", {"A": 0.8, "D": 0.6}),
            Unit("low", 1, step("A", "B"), bias=-2.0),
            Unit("high", 1, step("A", "B"), bias=-3.5),
        ),
        concepts=("A", "B"),
        gate="undecided",
        table=(0.0, 1.0, 1.0, 1.0),
        combinations=(
            *(replace(c, members=tuple(swap.get(m, m) for m in c.members)) for c in lean),
            exact(("A", "B"), "yes", "or", -1.0),
        ),
    )


def decoys() -> Design:
    """Each concept has a twin that reads the same word, and the gate a twin that nothing reads."""
    plain = conjunction()
    twins = tuple(
        replace(concept(f"{name} decoy", word=f"word {name}"), matters=False) for name in ("A", "B")
    )
    idle = replace(plain.units[2], name="gate decoy", matters=False)
    return replace(
        plain,
        sentence="a gate that needs A and B, with twins that are always on together with them",
        units=(*plain.units[:2], *twins, plain.units[2], idle),
        combinations=(*plain.combinations, exact(("A", "B"), "gate decoy", "and", 1.0)),
    )
