"""Does one thing need another to do what it does? The concept test, asked both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.engine.concepts.backgrounds import Backgrounds
from circuits.engine.concepts.decide import interval
from circuits.engine.concepts.measure import ConceptTest, concept_test
from circuits.errors import CircuitsError, NotFound, UsageError
from circuits.graph.actions import ablate
from circuits.graph.concepts import Concept, concepts
from circuits.graph.graph import Graph
from circuits.graph.grouping import automatic
from circuits.graph.names import resolve
from circuits.graph.run import Runner
from circuits.query.answer import Answer, Prediction
from circuits.query.ends import concept_words, meant_target
from circuits.query.need_text import CAPTIONS, KEPT, found_sentences, pair_sentences
from circuits.query.subject import check_opened, induced, made_of
from circuits.query.text import Naming, python

Verdict = Literal["yes", "partly", "no", "reversed", "no effect"]

LEFT: Final = 0.2
"""What is left of an effect, as a share, up to which it needs what was taken away."""

STILL: Final = 1e-3
"""Effects below this share of the output's range count as none."""

ROUNDING: Final = 1e-5
"""An output's range counts as at least this share of what flows into it: below that is rounding."""

GROUPS: Final = 24
"""Automatic groups among which one that is needed is looked for."""


def needs(
    graph: Graph, a: str | Concept, b: str | Concept | None = None, *, target: str | Concept | None = None
) -> Answer:
    """Gives whether what one thing does to the target needs another, and the other way round.

    On the prompt, all else on and responding (`graph.run`), the effect of A with B is
    v(all) − v(A off), without B it is v(B off) − v(A and B off). What is left without B, as a share of the
    effect with B, says whether A needs B: yes up to 20%, no from 80%, partly between, reversed
    where without B it is −20% or less. Where A does nothing with B there is nothing to need: *no* where
    it acts once B is off (B stands in for it, or holds it back), else *no effect*. The same is asked over
    random backgrounds (`circuits.concept_test`), which tells how much it hangs on what else is there.

    Args:
        graph: an attribution graph.
        a: whose effect is asked about, by any name.
        b: what it may need, none of its nodes; what A needs most is looked for unless given, among the
            words of the prompt and automatic groups (tested labels, positions).
        target: a node; the graph's heaviest target unless given.

    Returns:
        An answer with tables `needs` (both ways: effects with and without, what is left, verdict) and
        `truth` (the target with either, both and none on); without B, `needs` has a row a candidate.

    Raises:
        NotFound: nothing is called so.
        UsageError: a name is ambiguous; the two share a node, or one is the target.

    Example:
        >>> print(needs(graph, "Dallas", "capital", target="logit:Austin"))  # doctest: +SKIP
    """
    aim = meant_target(graph, target)
    if len(aim.nodes) > 1:
        raise UsageError(f"{aim.name} is {len(aim.nodes)} nodes: name one whose value is asked for.")
    node = aim.nodes[0]
    check_opened(graph, graph.row(node))
    one = resolve(graph, a)
    answer = _searched(graph, one, node) if b is None else _tested(graph, one, resolve(graph, b), node)
    asked = {"a": a, "b": b, "target": target}
    said = {k: str(v) if isinstance(v, Concept) else v for k, v in asked.items()}
    code = python(graph, "needs", asked, first=("a", "b"))
    return Answer(
        question=answer.question,
        finding=answer.finding,
        tables=answer.tables,
        highlight=answer.highlight,
        code=code,
        captions={name: CAPTIONS[name] for name in answer.tables},
        meta={"query": "needs", "asked": said, "target": node, **answer.meta},
        predictions=answer.predictions,
    )


@dataclass(frozen=True)
class Need:
    """What one thing does with and without another.

    Attributes:
        what: the thing whose effect it is.
        of: the other.
        with_it: its effect while the other is on.
        without: while the other is off.
        verdict: whether it needs the other.
    """

    what: str
    of: str
    with_it: float
    without: float
    verdict: Verdict

    @property
    def kept(self) -> float | None:
        """Gives what is left of the effect without the other, as a share; None where there is none."""
        return None if self.verdict == "no effect" or self.with_it == 0 else self.without / self.with_it


def need(what: str, of: str, with_it: float, without: float, span: float) -> Need:
    """Gives the verdict on two effects; see `needs`.

    Args:
        what: the thing whose effects they are.
        of: what is on and off.
        with_it: its effect while that is on.
        without: while that is off.
        span: the output's range, of which a thousandth counts as nothing.
    """
    floor = STILL * span
    if abs(with_it) <= floor:
        return Need(what, of, 0.0, without, "no" if abs(without) > floor else "no effect")
    kept = without / with_it
    steps: list[tuple[float, Verdict]] = [(-LEFT, "reversed"), (LEFT, "yes")]
    found: Verdict = next((said for most, said in steps if kept <= most), "no" if kept >= KEPT else "partly")
    return Need(what, of, with_it, without, found)


def both_ways(names: tuple[str, ...], table: Float[np.ndarray, "4"], span: float) -> tuple[Need, Need]:
    """Gives whether the first needs the second, and the second the first.

    Args:
        names: the two.
        table: the target with none, the first, the second and both on.
        span: the output's range.
    """
    none, first, second, both = (float(v) for v in table)
    a, b = names
    return (
        need(a, b, both - second, first - none, span),
        need(b, a, both - first, second - none, span),
    )


def _tested(graph: Graph, one: Concept, other: Concept, node: str) -> Answer:
    test = concept_test(graph, one, other, target=node, backgrounds=Backgrounds())
    naming = Naming.of(graph)
    span = max(test.span, ROUNDING * made_of(graph, graph.row(node)))
    here = both_ways(test.names, test.here, span)
    spread = [_spread(test, way, span) for way in (0, 1)]
    rows = [
        (n.what, n.of, n.with_it, n.without, n.kept, n.verdict, *more)
        for n, more in zip(here, spread, strict=True)
    ]
    schema = {"effect of": pl.String, "needs": pl.String, "with": pl.Float64, "without": pl.Float64}
    more = {"kept": pl.Float64, "verdict": pl.String, "elsewhere": pl.String, "agree": pl.String}
    off = [f"{one.name} and {other.name}", other.name, one.name, "nothing"]
    tables = {
        "needs": pl.DataFrame(rows, schema=schema | more, orient="row"),
        "truth": pl.DataFrame({"off": off[::-1], "here": test.here[::-1], "elsewhere": test.mean[::-1]}),
    }
    words = tuple(concept_words(naming, concept) for concept in (one, other))
    rows_told = [graph.row(name) for concept in (one, other) for name in concept.nodes] + [graph.row(node)]
    return Answer(
        question=f"Does {words[0]} need {words[1]} for {naming.phrase(node)}, and the other way round?",
        finding=pair_sentences(test, here, tuple(s[1] for s in spread), (*words, naming.phrase(node))),
        tables=tables,
        highlight=induced(graph, np.array(rows_told)),
        code="",
        meta={
            "verdicts": [n.verdict for n in here],
            "gate": test.gate_here,
            "interaction": test.interaction_here,
            "evaluations": test.evaluations,
            "names": list(test.names),
        },
        predictions=tuple(
            Prediction(f"{says} off", ablate(nodes), node, float(value))
            for says, nodes, value in zip(
                off[:3],
                ((*one.nodes, *other.nodes), other.nodes, one.nodes),
                test.here[:3],
                strict=True,
            )
        ),
    )


def _spread(test: ConceptTest, way: int, span: float) -> tuple[str, str]:
    """Gives the verdict on the mean over backgrounds, and how many backgrounds agree with that here."""
    if not test.free:
        return "", ""
    here = both_ways(test.names, test.here, span)[way].verdict
    each = [both_ways(test.names, table, span)[way].verdict for table in test.tables]
    mean = both_ways(test.names, test.mean, span)[way]
    on = test.tables
    first = on[:, 3] - on[:, 2 - way]
    low, high = interval(first)
    agree = sum(verdict == here for verdict in each)
    return f"{mean.verdict} ({low:+.3g} to {high:+.3g} with it)", f"{agree}/{len(each)}"


def _searched(graph: Graph, one: Concept, node: str) -> Answer:
    """Gives what a concept needs most, among words and automatic groups."""
    naming = Naming.of(graph)
    concepts(graph, [one], targets=[node])  # refuses the target among its nodes
    candidates = _candidates(graph, one, node)
    masks = np.ones((2 + 2 * len(candidates), len(graph.nodes)), bool)
    own = [graph.row(name) for name in one.nodes]
    masks[1::2, own] = False
    for at, other in enumerate(candidates):
        masks[2 + 2 * at : 4 + 2 * at, [graph.row(name) for name in other.nodes]] = False
    values = Runner(graph, targets=[node])(masks)[:, 0].astype(float)
    effect = float(values[0] - values[1])
    span = max(float(np.ptp(values)), ROUNDING * made_of(graph, graph.row(node)))
    found = [
        need(one.name, other.name, effect, float(values[2 + 2 * at] - values[3 + 2 * at]), span)
        for at, other in enumerate(candidates)
    ]
    order = np.argsort([np.inf if n.kept is None else n.kept for n in found], kind="stable").tolist()
    rows = [
        (
            found[i].of,
            len(candidates[i].nodes),
            found[i].with_it,
            found[i].without,
            found[i].kept,
            found[i].verdict,
        )
        for i in order
    ]
    schema = {"needs": pl.String, "nodes": pl.Int64, "with": pl.Float64, "without": pl.Float64}
    table = pl.DataFrame(rows, schema=schema | {"kept": pl.Float64, "verdict": pl.String}, orient="row")
    told = [
        graph.row(name) for concept in (one, *(candidates[i] for i in order[:1])) for name in concept.nodes
    ]
    words = concept_words(naming, one)
    return Answer(
        question=f"What does {words} need for what it does to {naming.phrase(node)}?",
        finding=found_sentences(words, naming.phrase(node), effect, table),
        tables={"needs": table},
        highlight=induced(graph, np.array([*told, graph.row(node)])),
        code="",
        meta={"effect": effect, "candidates": len(candidates), "evaluations": len(masks)},
    )


def _candidates(graph: Graph, one: Concept, node: str) -> list[Concept]:
    """Gives what may be needed: each word's embedding, and automatic groups, without the concept's nodes."""
    taken = {*one.nodes, node}
    naming = Naming.of(graph)
    words = graph.nodes.filter(pl.col("kind") == "token", ~pl.col("node").is_in(list(taken)))
    found = [
        Concept(f"the word {naming.token(pos)}" if pos is not None else name, (name,))
        for name, pos in words.select("node", "pos").iter_rows()
    ]
    try:
        groups = automatic(graph, f"auto:{GROUPS}", taken)
    except (NotFound, CircuitsError):
        groups = []
    known = {concept.nodes for concept in found}
    found += [Concept(name, nodes) for name, nodes in groups if nodes not in known]
    if not found:
        raise UsageError(f"The graph has nothing beside {one.name} that it could need.")
    return found
