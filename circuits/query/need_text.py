"""An answer about needs in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

from circuits.query.text import percent, signed

if TYPE_CHECKING:
    from circuits.engine.concepts.measure import ConceptTest
    from circuits.query.needs import Need

CAPTIONS: Final[Mapping[str, str]] = {
    "needs": "with and without: the effect on the target, all else on and responding, with the other on and"
    " with it off. kept: what is left without, as a share; yes up to 20%, no from 80%, partly between,"
    " reversed from −20% down. elsewhere: the same averaged over random backgrounds, where other things are"
    " off too (95% interval of the effect with it). agree: backgrounds that say the same.",
    "truth": "The target's value by what is off. here: all else on. elsewhere: averaged over backgrounds.",
}

KEPT: Final = 0.8
"""What is left of an effect, as a share, from which it does not need what was taken away."""

PREDICTED: Final = "All of it is what the graph predicts, attention and norms frozen."

MORE: Final = 1.2
"""What is left of an effect, as a share, from which it is said to be more."""


def pair_sentences(
    test: ConceptTest, needs: tuple[Need, Need], agree: tuple[str, ...], words: tuple[str, ...]
) -> tuple[str, ...]:
    """Gives the finding on two concepts: every number in it stands in one of the tables.

    Args:
        test: their concept test.
        needs: whether the first needs the second, and the second the first.
        agree: how many backgrounds say the same of either.
        words: the two and the target in words.
    """
    *two, target = words
    orders = (tuple(two), tuple(two[::-1]))
    said = [_one(*one, target) for one in zip(needs, orders, agree, strict=True)]
    gate, more = test.gate_here.upper(), signed(test.interaction_here) or "0"
    together = (
        f"Together they make {more} of it beyond what each does apart, everything else on ({gate}); over"
        f" backgrounds {_gate(test)}. {PREDICTED}"
    )
    return (*(f"{text[:1].upper()}{text[1:]}" for text in said), together)


def _gate(test: ConceptTest) -> str:
    one = test.decision
    if not test.free:
        return "it is the same, for nothing else can vary"
    sure = f" ({signed(one.low)} to {signed(one.high)})" if one.low < one.high else ""
    return f"{signed(one.interaction) or '0'}{sure}, {one.gate.upper()}"


def _one(need: Need, words: tuple[str, ...], agree: str, target: str) -> str:
    a, b = words
    end = f"; {agree} backgrounds say the same" if agree else ""
    if need.verdict == "no effect":
        return f"{a} does nothing to {target}, with or without {b}, so it needs nothing{end}."
    if need.verdict == "no" and need.kept is None:
        return (
            f"{a} does not need {b}: it does nothing to {target} while {b} is on and {signed(need.without)}"
            f" once it is off, so {b} stands in for it or holds it back{end}."
        )
    left = f"without it {percent(need.kept)} of what it does to {target} is left"
    both = f"(with it {signed(need.with_it) or '0'}, without it {signed(need.without) or '0'})"
    if need.verdict == "yes":
        return f"{a} needs {b}: {left} {both}{end}."
    if need.verdict == "partly":
        return f"{a} needs {b} in part: {left} {both}{end}."
    if need.verdict == "reversed":
        return (
            f"{a} needs {b} for which way it acts: without it, it does the opposite to {target} {both}{end}."
        )
    more = "more" if (need.kept or 0) > MORE else "as much"
    return f"{a} does not need {b}: it does {more} to {target} without it {both}{end}."


def found_sentences(words: str, target: str, effect: float, table: pl.DataFrame) -> tuple[str, ...]:
    """Gives the finding on what a concept needs most."""
    if not len(table) or not effect:
        return (f"{words} does nothing to {target} here, so it needs nothing.",)
    upper, best = f"{words[:1].upper()}{words[1:]}", table.row(0, named=True)
    if best["kept"] is None or best["kept"] >= KEPT:
        none = (
            f"{upper} does {signed(effect)} to {target}, and needs none of the {len(table)} words and groups"
            f" tried: without any one of them at least {percent(best['kept'])} of it is left."
        )
        return none, PREDICTED
    needed = len(table.filter(pl.col("verdict").is_in(["yes", "reversed"])))
    partly = len(table.filter(pl.col("verdict") == "partly"))
    most = (
        f"{upper} does {signed(effect)} to {target}. It needs {best['needs']} most: without it"
        f" {percent(best['kept'])} of that is left ({signed(best['without']) or '0'})."
    )
    counts = (
        f"Of {len(table)} words and groups tried it needs {needed or 'none'} (at most 20% is left), and"
        f" {partly or 'none'} in part."
    )
    return most, counts, PREDICTED
