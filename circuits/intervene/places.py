"""What interventions name, found in the model: features anywhere, embeddings, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.actions import UNTOUCHED, Affine, Intervention
from circuits.models.base import Model

_NAME: Final = re.compile(r"(?:(tok|pos)@(\d+)|err(\d+)@(\d+)|(\d+)/(\d+)(?:@(\d+))?)")
_NOT_TO_BE_SET: Final = re.compile(r"bias:|rest$|logit:")


class Feature(NamedTuple):
    """A feature at a position; without one, at every position."""

    layer: int
    id: int
    pos: int | None


@dataclass(frozen=True)
class Limits:
    """What a model, a dictionary and a prompt have.

    Attributes:
        n_positions: tokens; None: any number (text not yet written).
        n_layers: of the model.
        layers: those with features.
        n_features: per layer.
        positions_embedded: the model has learned positional embeddings.
        known: names to suggest where one is not found.
    """

    n_positions: int | None
    n_layers: int
    layers: Sequence[int]
    n_features: int
    positions_embedded: bool
    known: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        model: Model,
        dictionary: AbstractDictionary,
        n_positions: int | None,
        known: Sequence[str] = (),
    ) -> Limits:
        """Gives what there is in a model, a dictionary and a text of so many tokens."""
        return cls(
            n_positions=n_positions,
            n_layers=model.n_layers,
            layers=dictionary.layers,
            n_features=dictionary.n_features,
            positions_embedded=model.anatomy.position_embedding is not None,
            known=known,
        )


@dataclass(frozen=True)
class Acts:
    """One intervention by where it acts. Embeddings and errors have activation 1, so theirs are factors."""

    features: Mapping[Feature, Affine] = field(default_factory=dict)
    token: Mapping[int, float] = field(default_factory=dict)
    position: Mapping[int, float] = field(default_factory=dict)
    error: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def at(self, positions: range) -> Acts:
        """Gives the same at some positions, features at every position written out, all others left out."""
        found: dict[Feature, Affine] = {}
        for feature, done in self.features.items():
            for p in positions if feature.pos is None else (feature.pos,):
                if p not in positions:
                    continue
                place = feature._replace(pos=p)
                found[place] = done.after(found.get(place, UNTOUCHED))
        return Acts(found, self.token, self.position, self.error)

    @property
    def start(self) -> tuple[int, int]:
        """Gives the first position and the first layer anything is done at; features need a position."""
        places = list(self._places())
        return min((p for p, _ in places), default=0), min((layer for _, layer in places), default=0)

    @property
    def nothing(self) -> bool:
        """Tells whether nothing is done at all."""
        return not (self.features or self.token or self.position or self.error)

    def _places(self) -> Iterator[tuple[int, int]]:
        for feature in self.features:
            yield feature.pos or 0, feature.layer
        for p in (*self.token, *self.position):
            yield p, 0
        for layer, p in self.error:
            yield p, layer


def placed(one: Intervention, limits: Limits) -> Acts:
    """Gives an intervention by where it acts, in the order it is done.

    Raises:
        UsageError: a bias, `rest` or an output is named.
        NotFound: a name means nothing, or no such layer, feature or position.
    """
    features: dict[Feature, Affine] = {}
    token: dict[int, float] = {}
    position: dict[int, float] = {}
    error: dict[tuple[int, int], float] = {}
    for name, done in one.nodes.items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise _refused(name, limits)
        embedded, p, error_layer, error_p, layer, number, feature_p = found.groups()
        factor = done.scale + done.offset
        if embedded:
            into = token if embedded == "tok" else position
            if embedded == "pos" and not limits.positions_embedded:
                raise NotFound(f"{name}: this model has no positional embeddings.")
            into[_within(name, "position", int(p), limits.n_positions)] = factor
        elif error_layer:
            place = (_within(name, "layer", int(error_layer), limits.n_layers), int(error_p))
            _within(name, "position", place[1], limits.n_positions)
            error[place] = factor
        else:
            at = None if feature_p is None else int(feature_p)
            place_ = Feature(_layer(name, int(layer), limits), int(number), at)
            _within(name, "feature", place_.id, limits.n_features)
            if at is not None:
                _within(name, "position", at, limits.n_positions)
            features[place_] = done.after(features.get(place_, UNTOUCHED))
    return Acts(features, token, position, error)


def _within(name: str, what: str, number: int, size: int | None) -> int:
    if size is not None and number >= size:
        raise NotFound(f"{name}: there is no {what} {number}; there are {size}, counted from 0.")
    return number


def _layer(name: str, layer: int, limits: Limits) -> int:
    _within(name, "layer", layer, limits.n_layers)
    if layer not in limits.layers:
        listed = ", ".join(map(str, limits.layers))
        raise NotFound(f"{name}: the dictionary has no features in layer {layer}; it covers {listed}.")
    return layer


def _refused(name: str, limits: Limits) -> UsageError | NotFound:
    if _NOT_TO_BE_SET.match(name):
        return UsageError(
            f"{name} cannot be acted on in the model: it is no feature, embedding or error. Name one of"
            " these, such as 12/4051@7, tok@3 or err12@7."
        )
    hint = near_matches(name, limits.known)
    return NotFound(
        f"{name} is nothing the model can be acted on at: write 12/4051@7, 12/4051 (everywhere), tok@3,"
        f" pos@3 or err12@7.{hint}"
    )
