"""How good a dictionary is, all in one record: `metrics`, `replace` and `duplicates` over the same text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.models.base import Model
from circuits.training.duplicates import duplicates
from circuits.training.metrics import Fit, Progress, passing, tallies
from circuits.training.replace import Changes, Losses, ablations, nats, stand_ins
from circuits.training.tokens import Sequences


@dataclass(frozen=True)
class LayerEvaluation:
    """How good one layer is.

    Attributes:
        fit: FVU, L0, dead features, frequencies.
        losses: with this layer alone replaced or ablated.
        duplicates: share of features whose decoder has a cosine above .9, and above .95, with another's.
    """

    fit: Fit
    losses: Losses
    duplicates: Mapping[float, float]


@dataclass(frozen=True)
class Evaluation:
    """How good a dictionary is on some text. Made by `evaluate`.

    Attributes:
        model: its name.
        dictionary: as it was named.
        kind: of the dictionary.
        sites: where it reads and writes.
        features: per layer.
        text: where the tokens are from.
        tokens: in all; each sequence's first is given to the model and not evaluated.
        layers: by layer.
        losses: with all layers of the dictionary replaced or ablated together.
    """

    model: str
    dictionary: str
    kind: str
    sites: tuple[str, str]
    features: int
    text: str
    tokens: int
    layers: Mapping[int, LayerEvaluation]
    losses: Losses

    def __repr__(self) -> str:
        on = f"{len(self.layers)} layers, {self.tokens:,} tokens of {self.text!r}"
        return f"Evaluation({self.dictionary!r}: {self.kind} of {self.model!r}, {on})"

    def to_dict(self) -> dict[str, Any]:
        """Gives the numbers as JSON holds them; losses are nats a token."""
        return {
            "model": self.model,
            "dictionary": self.dictionary,
            "kind": self.kind,
            "read_site": self.sites[0],
            "write_site": self.sites[1],
            "features": self.features,
            "text": self.text,
            "tokens": self.tokens,
            "layers": {
                str(layer): {
                    **found.fit.to_dict(),
                    "duplicates": {str(cosine): share for cosine, share in found.duplicates.items()},
                    "nats": found.losses.to_dict(),
                }
                for layer, found in self.layers.items()
            },
            "nats": {"model": self.losses.own, "all": self.losses.to_dict()},
        }


def evaluate(
    model: Model,
    dictionary: AbstractDictionary,
    sequences: Sequences,
    *,
    progress: Progress | None = None,
) -> Evaluation:
    """Gives how good a dictionary is on some text it was not trained on.

    The definitions are written in `circuits.training.metrics` (FVU, L0, dead, frequency), `replace` (cross
    entropy and the share recovered) and `duplicates`. With L layers the text passes the model 3·L + 5
    times, or 5 times where L = 1. In memory at a time, besides the model: some 100 million numbers of
    activations and logits, and while decoders are compared, those of one layer; nothing grows with the
    text.

    Args:
        model: the model.
        dictionary: for it, of any kind.
        sequences: the text.
        progress: told of each phase.

    Raises:
        Incompatible: the dictionary is another model's.
        InvalidFile: the model gives NaN.
        UsageError: there is no text.

    Example:
        >>> found = evaluate(model, dictionary, load_sequences(Path("text.txt"), model))  # doctest: +SKIP
        >>> found.layers[3].fit.fvu, found.losses.recovered  # doctest: +SKIP
        (0.035, 0.972)
    """
    dictionary.check(model)
    tell = progress or (lambda *_: None)
    sums = tallies(dictionary, passing(model, dictionary, sequences, tell))
    twins = {}
    for number, layer in enumerate(dictionary.layers):
        tell("Comparing decoders", number, len(dictionary.layers))
        twins[layer] = duplicates(dictionary, layer)
    means = {layer: tally.mean for layer, tally in sums.items()}
    losses = _losses(model, dictionary, sequences, means, tell)
    return Evaluation(
        model=model.name,
        dictionary=dictionary.spec,
        kind=dictionary.kind,
        sites=(dictionary.read_site, dictionary.write_site),
        features=dictionary.n_features,
        text=sequences.source,
        tokens=int(sequences.ids.size),
        layers={
            layer: LayerEvaluation(sums[layer].fit(), losses[layer,], twins[layer])
            for layer in dictionary.layers
        },
        losses=losses[dictionary.layers],
    )


def _losses(
    model: Model,
    dictionary: AbstractDictionary,
    sequences: Sequences,
    means: Mapping[int, Float[Tensor, "d"]],
    tell: Progress,
) -> dict[tuple[int, ...], Losses]:
    """Gives the losses with each layer changed alone, and with all of them."""
    sets = dict.fromkeys([*((layer,) for layer in dictionary.layers), dictionary.layers])
    done, runs = 0, 3 * len(sets) + 1

    def run(changes: Changes) -> float:
        nonlocal done
        before, done = done, done + 1
        size = sequences.ids.size
        return nats(
            model,
            sequences,
            changes,
            lambda n: tell("Running the model", before * size + n, runs * size),
        )

    own = run({})
    return {
        layers: Losses(
            own=own,
            replaced=run(stand_ins(dictionary, layers)),
            zero=run(ablations(dictionary, dict.fromkeys(layers))),
            mean=run(ablations(dictionary, {layer: means[layer] for layer in layers})),
        )
        for layers in sets
    }
