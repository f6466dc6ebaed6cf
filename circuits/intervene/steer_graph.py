"""The graph in which an intervention is searched for: with the wanted output, its rivals, and what is off.

A run explains what the model said; steering asks what else it could say. So the prompt is attributed again
with the wanted token and its rivals as targets, and with the features that are off here but would help if
they were on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.dictionaries.base import Encoding
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import CircuitsError, UsageError
from circuits.extraction.asked import selection
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.fold import Frozen
from circuits.extraction.propagate import Step, attributions
from circuits.extraction.select import AllActive, ByAttribution, Chooser, Selection
from circuits.extraction.targets import Aim, resolve, token_id
from circuits.graph.graph import Graph
from circuits.intervene.session import Session
from circuits.models.base import Model
from circuits.models.forward import forward, probabilities
from circuits.prompt import Logit, LogitDifference, Prompt

Progress = Callable[[str, int, int], None]
Place = tuple[int, int, int]

RIVALS: Final = 12
"""Outputs besides the wanted one that the graph has as targets, at first."""

OFF: Final = 128
"""Features that are off and could be turned on, at most."""


@dataclass(frozen=True)
class Question:
    """What is to become the output, instead of what.

    Attributes:
        wanted: token id of the output wanted.
        over: token id of the output it is to overtake; None: of all.
        top: token id of the output as it is.
        rivals: token ids of the others, likeliest first, `over` alone where it is given.
    """

    wanted: int
    over: int | None
    top: int
    rivals: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Ground:
    """Where to search: the question, the graph, and what features that are off would be turned on to.

    Attributes:
        question: what is wanted.
        graph: holds the wanted output and its rivals.
        wanted: its node.
        rivals: theirs.
        typical: by (layer, feature, position), the activation a feature that is off here has where it is on.
        usual: by layer, the same for every feature; empty where no feature is ever off.
    """

    question: Question
    graph: Graph
    wanted: str
    rivals: tuple[str, ...]
    typical: Mapping[Place, float] = field(default_factory=dict)
    usual: Mapping[int, Float[Tensor, "m"]] = field(default_factory=dict)


def asked(frozen: Frozen, toward: str, over: str | None) -> Question:
    """Gives the question.

    Raises:
        UsageError: the output is the wanted one already; a text is several tokens.
        NotFound: a text is no token.
    """
    model = frozen.model
    chances = probabilities(model.anatomy, frozen.forward.logits[-1])
    wanted = token_id(model, toward)
    instead = None if over is None else token_id(model, over)
    order = [int(i) for i in torch.topk(chances, min(4 * RIVALS, len(chances))).indices]
    top = order[0]
    behind = top if instead is None else instead
    if wanted == behind or float(chances[wanted]) > float(chances[behind]):
        other = "the likeliest output" if instead is None else f"likelier than {over!r}"
        raise UsageError(f"{toward!r} is {other} already ({float(chances[wanted]):.2g}): nothing to change.")
    named = [i for i in order if i != wanted and _written(model, i)]
    if behind not in named and instead is None:
        raise UsageError(
            f"The likeliest output, {model.decode(top)!r}, is no whole character, so the graph cannot have it"
            " as a target: say what is to be overtaken with --over."
        )
    return Question(wanted, instead, top, tuple(named[:RIVALS]) if instead is None else (instead,))


def ground(
    session: Session,
    toward: str,
    *,
    over: str | None = None,
    texts: Sequence[str],
    progress: Progress | None = None,
) -> Ground:
    """Gives the graph to search in: the session's own where it holds all that is needed, else a new one.

    Args:
        session: of the prompt.
        toward: the token wanted.
        over: the token it is to overtake; the likeliest unless given.
        texts: what features do when they are on is seen on these.
        progress: told of each phase.

    Raises:
        UsageError, NotFound: as for `asked`.
    """
    tell = progress or (lambda *_: None)
    frozen = session.recorded.frozen
    question = asked(frozen, toward, over)
    # no neuron is ever off
    usual = {} if session.dictionary.kind == "neurons" else _usual(frozen, texts, tell)
    typical = _off(frozen, question.wanted, question.rivals[:1], usual)
    wanted, rivals = _nodes(session.graph, question)
    if wanted is None or len(rivals) < len(question.rivals) or typical:
        return _attributed(session, question, typical, usual, tell)
    return Ground(question, session.graph, wanted, rivals)


def widened(session: Session, ground: Ground, met: Sequence[int], progress: Progress) -> Ground:
    """Gives the ground with more rivals: tokens that came out on top where others had been thought of.

    Args:
        session: of the prompt.
        ground: as it was.
        met: the tokens.
        progress: told of each phase.
    """
    frozen = session.recorded.frozen
    more = tuple(i for i in met if _written(session.model, i))
    question = replace(ground.question, rivals=(*ground.question.rivals, *more))
    typical = {**ground.typical, **_off(frozen, question.wanted, more, ground.usual)}
    return _attributed(session, question, typical, ground.usual, progress)


@dataclass(frozen=True)
class AndAlso:
    """What another rule keeps, and some features more, on or off.

    Attributes:
        rule: the other rule.
        places: (layer, feature, position) of the others.
    """

    rule: Selection
    places: tuple[tuple[int, int, int], ...]

    def chooser(self, frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Chooser:
        """Gives the choice for one prompt."""
        inner = self.rule.chooser(frozen, aims, step)

        def choose(layer: int, encoding: Encoding) -> Bool[Tensor, "n m"]:
            chosen = inner(layer, encoding).clone()
            for at, feature, position in self.places:
                if at == layer:
                    chosen[position, feature] = True
            return chosen

        return choose


def _attributed(
    session: Session,
    question: Question,
    typical: Mapping[Place, float],
    usual: Mapping[int, Float[Tensor, "m"]],
    tell: Progress,
) -> Ground:
    """Gives the ground of the prompt attributed as the run was, with other targets and more features."""
    meta, model, prompt = session.graph.meta, session.model, session.prompt
    default = ByAttribution() if session.dictionary.kind == "neurons" else AllActive()
    rule = selection(meta.get("selection")) or default
    targets = tuple(Logit(model.decode(i)) for i in (question.wanted, *question.rivals))
    settings = Extraction(
        select=AndAlso(rule, tuple(typical)), labels=False, dormant_margin=meta.get("dormant_margin")
    )
    asked_again = Prompt(prompt.text, prompt.ids, prompt.tokens, targets)
    trace = extract(model, session.dictionary, asked_again, settings, progress=tell)
    edges = (meta.get("methods") or {}).get("edges") or {"max_features": 4000}
    graph = attribute(trace, (Edges(**edges),), progress=tell).with_meta(run=meta.get("run"))
    wanted, rivals = _nodes(graph, question)
    assert wanted is not None
    return Ground(question, graph, wanted, rivals, typical, usual)


def _nodes(graph: Graph, question: Question) -> tuple[str | None, tuple[str, ...]]:
    """Gives the nodes of the wanted output and of its rivals, as far as the graph has them."""
    found = {
        tuple(entry["token_ids"]): str(entry["name"])
        for entry in graph.meta.get("targets") or ()
        if entry.get("token_ids")
    }
    return found.get((question.wanted,)), tuple(found[i,] for i in question.rivals if (i,) in found)


@torch.no_grad()
def _off(
    frozen: Frozen, wanted: int, behind: Sequence[int], usual: Mapping[int, Float[Tensor, "m"]]
) -> dict[Place, float]:
    """Gives the features that are off and would help most, each with its activation where it is on.

    Ranked by gradient · activation, in the linear model of `circuits.extraction.propagate`, of the wanted
    output over each of those it is to overtake; `OFF` of them in all.
    """
    dictionary, decode = frozen.dictionary, frozen.model.decode
    if not usual or not behind:
        return {}
    ids = frozen.forward.ids
    pairs = tuple(LogitDifference(decode(wanted), decode(i)) for i in behind)
    aims = resolve(frozen, Prompt("-", ids, tuple(map(str, ids)), pairs))
    best: list[list[tuple[float, Place, float]]] = [[] for _ in aims]
    for found in attributions(frozen, aims):
        layer = found.layer
        x = frozen.inputs(layer)
        off = dictionary.encode(layer, x).activation == 0
        pushed = []
        for term in dictionary.write_terms(layer, x):
            frame = frozen.write_frame(term.layer)
            scale = frame.scale if term.coefficient is None else frame.scale * term.coefficient
            pushed.append((found.above[term.layer], frame.push(term.rows.all()).T, scale[:, None]))
        for number, kept in enumerate(best):
            felt = sum((above[number] @ rows * scale for above, rows, scale in pushed), start=x.new_zeros(()))
            gain = felt * usual[layer] * off
            top = torch.topk(gain.flatten(), min(OFF, gain.numel()))
            for value, place in zip(top.values.tolist(), top.indices.tolist(), strict=True):
                position, feature = divmod(place, dictionary.n_features)
                if value > 0:
                    kept.append((value, (layer, feature, position), float(usual[layer][feature])))
    each = max(1, OFF // len(best))
    return {place: value for kept in best for _, place, value in sorted(kept, reverse=True)[:each]}


@torch.no_grad()
def _usual(frozen: Frozen, texts: Sequence[str], tell: Progress) -> dict[int, Float[Tensor, "m"]]:
    """Gives, by layer, each feature's mean activation where it is on in the texts.

    For a feature that is on nowhere in them: the mean of the layer's features that are on in this prompt.
    """
    dictionary, model = frozen.dictionary, frozen.model
    sums = {layer: torch.zeros(dictionary.n_features, dtype=torch.float64) for layer in dictionary.layers}
    counts: dict[int, Int[Tensor, "m"]] = {
        layer: torch.zeros(dictionary.n_features, dtype=torch.long) for layer in dictionary.layers
    }
    for done, text in enumerate(texts):
        seen = Frozen(model, dictionary, forward(model, model.encode(text)))
        for layer in dictionary.layers:
            a = dictionary.encode(layer, seen.inputs(layer)).activation[1:].cpu()
            sums[layer] += a.double().sum(dim=0)
            counts[layer] += (a != 0).sum(dim=0)
        tell("encode texts", done + 1, len(texts))
    usual = {}
    for layer in dictionary.layers:
        here = dictionary.encode(layer, frozen.inputs(layer)).activation[1:]
        common = float(here[here != 0].mean()) if bool((here != 0).any()) else 0.0
        mean = torch.where(counts[layer] > 0, sums[layer] / counts[layer].clamp(min=1), common)
        usual[layer] = mean.to(here)
    return usual


def _written(model: Model, token: int) -> bool:
    """Tells whether a token can be asked for by its text."""
    try:
        return token_id(model, model.decode(token)) == token
    except CircuitsError:
        return False
