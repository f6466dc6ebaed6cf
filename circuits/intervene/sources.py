"""Where the values come from that features are set to: nowhere, an average, a draw, another prompt.

=========  ==================================================================================
zero       0
mean       the feature's mean activation over the positions of some texts
resample   its activation at one drawn position of these texts: the same draw for all features of
           a place, so that they occur together
swap       its activation in another prompt, at the place aligned with its own
=========  ==================================================================================

Attention often parks on the first token, where activations are unlike any others. The first place of a
prompt is therefore filled from first places only, and all other places from all but the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import Incompatible, UsageError
from circuits.extraction.fold import Frozen
from circuits.graph.actions import Affine, setting
from circuits.graph.graph import Graph
from circuits.intervene.neutral import NEUTRAL
from circuits.intervene.session import Session
from circuits.models.base import Model
from circuits.models.forward import forward
from circuits.schema import feature_name, parse_feature

Progress = Callable[[str, int, int], None]
Align = Literal["end", "start"]

ENCODING: Final = "encode texts"
"""The phase told to `progress`."""


@dataclass(frozen=True)
class Sample:
    """Activations of some features at every position of some texts.

    Attributes:
        features: (layer, feature), one a column.
        values: activations. P positions of all texts, F features.
        text: the number of the text each row is of.
        position: the position in it.
    """

    features: tuple[tuple[int, int], ...]
    values: Float[np.ndarray, "P F"]
    text: Int[np.ndarray, "P"]
    position: Int[np.ndarray, "P"]

    def rows(self, *, first: bool) -> Int[np.ndarray, "r"]:
        """Gives the rows at first positions, or all the others.

        Raises:
            UsageError: there are none: every text is a single token.
        """
        found = np.flatnonzero((self.position == 0) == first)
        if not len(found):
            raise UsageError("Every text is a single token: give texts of two or more.")
        return found

    def column(self, feature: tuple[int, int]) -> Float[np.ndarray, "P"]:
        """Gives one feature's activations."""
        return np.asarray(self.values[:, self.features.index(feature)])


def sample(
    model: Model,
    dictionary: AbstractDictionary,
    texts: Sequence[str | Sequence[int]],
    features: Iterable[tuple[int, int]],
    *,
    progress: Progress | None = None,
) -> Sample:
    """Gives what features do at every position of some texts.

    Args:
        model: runs the texts.
        dictionary: whose features they are.
        texts: texts, or their token ids.
        features: (layer, feature), in any order.
        progress: told after every text.

    Raises:
        UsageError: no text, or an empty one.
    """
    if not texts or not all(len(text) for text in texts):
        raise UsageError("Activations are taken from texts: give one or more, none of them empty.")
    asked = tuple(sorted(set(features)))
    layers = {layer: [f for at, f in asked if at == layer] for layer, _ in asked}
    values, number, position = [], [], []
    for done, text in enumerate(texts):
        ids = model.encode(text) if isinstance(text, str) else list(text)
        frozen = Frozen(model, dictionary, forward(model, ids))
        parts = [_activations(frozen, layer, chosen) for layer, chosen in layers.items()]
        values.append(np.concatenate(parts, axis=1) if parts else np.zeros((len(ids), 0)))
        number.append(np.full(len(ids), done))
        position.append(np.arange(len(ids)))
        if progress is not None:
            progress(ENCODING, done + 1, len(texts))
    return Sample(asked, np.concatenate(values), np.concatenate(number), np.concatenate(position))


def mean(
    session: Session,
    nodes: Iterable[str],
    *,
    texts: Sequence[str] = NEUTRAL,
    progress: Progress | None = None,
) -> dict[str, Affine]:
    """Gives features set to their mean activation over the positions of some texts.

    Args:
        session: of the prompt.
        nodes: features; one without a position (`12/4051`) is set at every position of the prompt.
        texts: the texts; neutral ones unless given.
        progress: told after every text.

    Raises:
        UsageError: a node is no feature.

    Example:
        >>> Intervention.of("mean", mean(session, ["12/4051@7"]))  # doctest: +SKIP
    """
    places = everywhere(nodes, length(session.graph))
    seen = sample(session.model, session.dictionary, texts, _features(places), progress=progress)
    at = {first: seen.rows(first=first) for first in {position == 0 for _, _, position in places}}
    return setting(
        {
            feature_name(*place): float(seen.column(place[:2])[at[place[2] == 0]].mean(dtype=np.float64))
            for place in places
        }
    )


def resample(
    session: Session,
    nodes: Iterable[str],
    *,
    seed: int,
    texts: Sequence[str] = NEUTRAL,
    progress: Progress | None = None,
) -> dict[str, Affine]:
    """Gives features set to what they do at a drawn position of some texts.

    For each place of the prompt one position is drawn, for all features there together.

    Args:
        session: of the prompt.
        nodes: as for `mean`.
        seed: of the draw; the same gives the same.
        texts: as for `mean`.
        progress: told after every text.

    Raises:
        UsageError: as for `mean`.
    """
    n = length(session.graph)
    places = everywhere(nodes, n)
    seen = sample(session.model, session.dictionary, texts, _features(places), progress=progress)
    draws = np.random.default_rng(seed).random(n)  # one a place, whichever places are asked for
    drawn = {}
    for position in {place[2] for place in places}:
        rows = seen.rows(first=position == 0)
        drawn[position] = rows[int(draws[position] * len(rows))]
    return setting({feature_name(*place): float(seen.column(place[:2])[drawn[place[2]]]) for place in places})


def swap(
    session: Session,
    other: Graph,
    nodes: Iterable[str] | None = None,
    *,
    align: Align = "end",
) -> dict[str, Affine]:
    """Gives features set to what they are in another prompt, off where they are off there.

    Args:
        session: of the prompt.
        other: a graph of the other prompt, by the same model and dictionary.
        nodes: the features; unless given, all that either graph has.
        align: the position a place corresponds to is counted from the end of both prompts, or from
            their start. Places without a counterpart are left out.

    Raises:
        Incompatible: the graphs are not of the same model and dictionary, or one does not hold its tokens.
        UsageError: a node is no feature.

    Example:
        >>> Intervention.of("as in RUN2", swap(session, load_run("RUN2")))  # doctest: +SKIP
    """
    check_alike(session.graph, other)
    here, there = length(session.graph), length(other)
    shift = there - here if align == "end" else 0
    if nodes is None:
        own = _placed(session.graph)
        nodes = dict.fromkeys((*own, *(moved(node, -shift) for node in _placed(other))))
        nodes = [node for node in nodes if _within(node, here)]
    places = [place for place in everywhere(nodes, here) if 0 <= place[2] + shift < there]
    ids = other.meta["prompt"]["ids"]
    seen = sample(session.model, session.dictionary, [ids], _features(places))
    column = {feature: number for number, feature in enumerate(seen.features)}
    return setting(
        {feature_name(*place): float(seen.values[place[2] + shift, column[place[:2]]]) for place in places}
    )


def everywhere(nodes: Iterable[str], n: int) -> list[tuple[int, int, int]]:
    """Gives (layer, feature, position) of features, those without a position at each of n.

    Raises:
        UsageError: a node is no feature.
    """
    found: dict[tuple[int, int, int], None] = {}
    for node in nodes:
        if place := parse_feature(node):
            found[place] = None
        elif "@" not in node and (anywhere := parse_feature(f"{node}@0")):
            found |= dict.fromkeys((*anywhere[:2], position) for position in range(n))
        else:
            raise UsageError(
                f"{node} is no feature: only features have values elsewhere. Set it to 0, or scale it."
            )
    return list(found)


def length(graph: Graph) -> int:
    """Gives the number of tokens of a graph's prompt.

    Raises:
        Incompatible: the graph does not hold them.
    """
    ids = (graph.meta.get("prompt") or {}).get("ids")
    if not ids:
        raise Incompatible("The run does not hold its prompt's tokens: attribute the prompt anew.")
    return len(ids)


def check_alike(graph: Graph, other: Graph) -> None:
    """Refuses a graph whose features are others than this one's."""
    for what in ("model", "dictionary"):
        one, two = ((each.meta.get(what) or {}) for each in (graph, other))
        if one.get("fingerprint") != two.get("fingerprint"):
            raise Incompatible(
                f"The two runs are of different {_PLURAL[what]} ({one.get('spec')} and {two.get('spec')}):"
                " their features cannot be exchanged."
            )


_PLURAL: Final[Mapping[str, str]] = {"model": "models", "dictionary": "dictionaries"}


def moved(node: str, by: int) -> str:
    """Gives a feature's name so many positions later."""
    layer, feature, position = parse_feature(node) or (0, 0, 0)
    return feature_name(layer, feature, position + by)


def _within(node: str, n: int) -> bool:
    place = parse_feature(node)
    return place is not None and 0 <= place[2] < n


def _placed(graph: Graph) -> list[str]:
    return graph.nodes.filter(kind="feature")["node"].to_list()


def _features(places: Iterable[tuple[int, int, int]]) -> set[tuple[int, int]]:
    return {place[:2] for place in places}


@torch.no_grad()
def _activations(frozen: Frozen, layer: int, ids: Sequence[int]) -> Float[np.ndarray, "n k"]:
    activation = frozen.dictionary.encode(layer, frozen.inputs(layer)).activation
    return np.asarray(activation[:, list(ids)].cpu().numpy(), np.float64)
