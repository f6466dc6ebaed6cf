"""A concept test in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from circuits.engine.concepts.decide import NONE, UNDECIDED

if TYPE_CHECKING:
    from circuits.engine.concepts.measure import ConceptTest

MEANINGS: Final = {
    "and": "they act only together",
    "or": "either is enough",
    "inhibit": "what some do, another stops",
    "xor": "each acts unless the other does",
    "additive": "each adds its own, and next to nothing beyond",
    "other": "they interact, but as no gate that has a name",
    NONE: "apart or together they move the output by less than a tenth of its range",
}

SHOWN: Final = 3
"""Gates and scores named, at most."""

PURE: Final = 0.75
"""Interaction / joint effect, in size, from which AND and OR are said without reserve."""


def told(test: ConceptTest) -> str:
    """Gives the result in sentences: the gate, the numbers behind it, how it holds on the prompt itself."""
    one = test.decision
    alone = ", ".join(f"{name} {value:+.3g}" for name, value in zip(test.names, test.alone, strict=True))
    sure = f" (95% interval {one.low:+.3g} to {one.high:+.3g})" if one.low < one.high else ""
    beyond = f"{one.interaction:+.3g}{sure}"
    lines = [
        f"{', '.join(test.names[:-1])} and {test.names[-1]} on {test.target}: {_verdict(test)}.",
        f"  Alone: {alone}. Together: {one.together:+.3g}. Beyond the sum of each alone: {beyond}.",
    ]
    if one.gate not in (NONE, "additive") and one.and_ness is not None:
        meant = " (1 AND, 0 a sum, −1 OR)" if len(test.names) == 2 else ""
        lines.append(f"  Interaction / joint effect: {one.and_ness:.2f}{meant}.{_scale(test)}")
    here, gate = f"{test.interaction_here:+.3g}", test.gate_here.upper()
    if test.free:
        lines.append(f"  With everything else on: beyond the sum of each alone {here} ({gate}).")
    lines += _through(test)
    lines.append(f"  {_over(test)}; the output ranges over {test.span:.3g}.")
    return "\n".join(lines)


def _through(test: ConceptTest) -> list[str]:
    """Gives the gates most of the interaction arises at, and the attention scores the concepts meet in."""
    lines, whole = [], test.decision.interaction
    if test.graphs == 1 and test.decision.gate not in (NONE, "additive") and len(test.gates) and whole:
        top = [(gate, share) for gate, share, *_ in test.gates.head(SHOWN).iter_rows()]
        # shares that cancel are no percentages of what is left
        cancel = abs(whole) < 0.1 * float(test.gates["share"].abs().sum())
        part = {gate: "" if cancel else f" ({share / whole:.0%})" for gate, share in top}
        listed = ", ".join(f"{gate} {share:+.3g}{part[gate]}" for gate, share in top)
        rest = len(test.gates) - len(top)
        lines.append(f"  It arises at {listed}{f' and {rest} more gates' if rest else ''}.")
    if len(test.scores):
        met = [f"{score} {weight:+.3g}" for score, weight, _ in test.scores.head(SHOWN).iter_rows()]
        lines.append(f"  In attention they meet in {', '.join(met)}.")
    return lines


def _over(test: ConceptTest) -> str:
    """Gives what was averaged over."""
    if not test.free and test.graphs == 1:
        return "Exact: every other node leads to a concept or follows from one, so there is one background"
    over = f"{test.graphs} graphs of " if test.graphs > 1 else ""
    drawn = f"{test.backgrounds.count} random backgrounds" if test.free else "one background"
    return f"Over {over}{drawn} ({test.backgrounds.index}, {test.evaluations:,} coalitions)"


def _verdict(test: ConceptTest) -> str:
    one = test.decision
    if one.gate == UNDECIDED:
        return f"undecided, nearest to {one.nearest.upper()} ({one.support:.0%} of resamples)"
    return f"{one.gate.upper()}: {_meaning(test)} ({one.support:.0%} of resamples agree)"


def _meaning(test: ConceptTest) -> str:
    """Gives what the gate means: how far it is one, and of two concepts which stops which."""
    one = test.decision
    if one.gate in ("and", "or") and abs(one.and_ness or 0) < PURE:
        return (
            f"in part; together they do {'more' if one.gate == 'and' else 'less'} than the sum of each alone"
        )
    if one.gate == "inhibit" and len(test.names) == 2:
        on, off = sorted(range(2), key=lambda i: -abs(test.alone[i]))
        return f"{test.names[on]} acts unless {test.names[off]} is there"
    return MEANINGS[one.gate]


def _scale(test: ConceptTest) -> str:
    """Gives what is left of the interaction on other scales."""
    if test.decision.crossover:
        return " An effect changes its sign, so no other scale of the output removes the interaction."
    if test.decision.removable:
        return (
            " No effect changes its sign: another scale, such as probability, might remove the interaction."
        )
    return ""
