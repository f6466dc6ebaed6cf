"""What a gate's interactions cost, counted rather than measured."""

from __future__ import annotations

from math import comb

from circuits.engine.gates.choose import Choice, Rule
from circuits.engine.gates.found import Wanted


def flops(choice: Choice, players: int, wanted: Wanted) -> float:
    """Gives the floating-point operations of one gate, about: an upper bound where columns are dropped.

    With K waves at Q nodes there are C = K·Q/2 columns. Ranking takes 8·n·C for their products, 20·n·C for
    the players' directions and 4·n²·C for all pairs; computing the `top` sets kept again takes 8·n·C' and
    20·top·C' with the finer rule's C', and triples among m candidates 24·C(m, 3)·C. Enumeration takes
    6·n·2ⁿ for each order, ablation about 10·n²/2.

    Args:
        choice: the engine.
        players: n.
        wanted: what is asked for.
    """
    n, orders = players, wanted.order - 1
    if choice.engine == "enumeration":
        return 6.0 * n * 2.0**n * orders
    triples = comb(min(n, wanted.candidates), 3) if wanted.order > 2 else 0
    if choice.search is None or choice.final is None:
        return 5.0 * n * n + 20.0 * triples
    coarse, fine = (_columns(rule) for rule in (choice.search, choice.final))
    kept = wanted.top if wanted.top is not None else n * (n - 1) // 2
    ranking = coarse * (8.0 * n * orders + 20.0 * n + 4.0 * n * n + 24.0 * triples)
    return ranking + orders * fine * (8.0 * n + 20.0 * min(2 * kept, n) + 12.0 * kept)


def _columns(rule: Rule) -> float:
    return rule.terms * rule.nodes / 2
