"""Interventions on the model's own module, on any text: what writing under an intervention needs.

Hooks edit what features write while the Hugging Face module runs, so its own cache serves and every
position is told of. It is what `Session.run` gives with nothing held, for text that is no run's prompt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import UsageError
from circuits.graph.actions import Affine, Intervention
from circuits.intervene.now import Gate, additions, gate_of
from circuits.intervene.places import Acts, Feature, Limits, placed
from circuits.models.base import Model
from circuits.models.sites import Change, Place, replaced


@torch.no_grad()
def on_text(
    model: Model, dictionary: AbstractDictionary, ids: Sequence[int], intervention: Intervention
) -> tuple[Float[np.ndarray, "n v"], Float[np.ndarray, "n v"]]:
    """Gives the free model's logits at every position of a text, without and with an intervention.

    Args:
        model: the model.
        dictionary: its features.
        ids: the tokens of the text.
        intervention: features without a position are acted on at every one.

    Raises:
        UsageError: an error node is named: it belongs to the prompt of a run.
        NotFound: a name means nothing in this model, dictionary and text.

    Example:
        >>> before, after = on_text(model, sae, (5, 6, 7), ablate(["12/4051"]))  # doctest: +SKIP
    """
    tokens = torch.tensor([[int(i) for i in ids]], device=model.anatomy.embedding.device)
    acting = Acting.of(model, dictionary, intervention, tokens.shape[1])
    module: Any = model.module
    before = module(tokens, use_cache=False).logits[0]
    with acting.hooked():
        after = module(tokens, use_cache=False).logits[0]
    return before.cpu().numpy(), after.cpu().numpy()


@dataclass
class Acting:
    """An intervention on a module that runs, one stretch of a text after another.

    Attributes:
        model: the model.
        dictionary: its features.
        acts: what is done, features at every position without one.
        start: the position of the first token of the next stretch.
    """

    model: Model
    dictionary: AbstractDictionary
    acts: Acts
    start: int = 0
    _gates: dict[int, Gate] = field(default_factory=dict)
    _pending: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: Model, dictionary: AbstractDictionary, intervention: Intervention, n_positions: int | None
    ) -> Acting:
        """Gives an intervention found in a model and a text of so many tokens, or of any number."""
        dictionary.check(model)
        acts = placed(intervention, Limits.of(model, dictionary, n_positions))
        if acts.error:
            layer, p = next(iter(acts.error))
            raise UsageError(
                f"err{layer}@{p} belongs to the prompt of a run and means nothing in another text: name"
                " features."
            )
        return cls(model, dictionary, acts)

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """Acts on whatever the module runs while the context lasts."""
        layers = sorted({feature.layer for feature in self.acts.features})
        changes: dict[Place, Change] = {}
        for layer in layers:
            changes[layer, self.dictionary.read_site] = self._reading(layer)
        for layer in range(min(layers, default=self.model.n_layers), self.model.n_layers):
            place: Place = (layer, self.dictionary.write_site)
            changes[place] = self._writing(layer, changes.get(place))
        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced(self.model, changes))
            for module, factors in self._embeddings():
                handle = module.register_forward_hook(self._scaling(factors))
                stack.callback(handle.remove)
            yield

    def _reading(self, layer: int) -> Change:
        """Notes what acting on the features of a layer will add, where it is written."""

        def read(x: Tensor) -> Tensor:
            if layer not in self._gates:
                self._gates[layer] = gate_of(self.dictionary, layer, x[0])
            here = self._here(x.shape[1])
            where = (self.start, self._gates[layer])
            for into, added in additions(self.dictionary, layer, x, [here] * len(x), where).items():
                self._pending[into] = self._pending[into] + added if into in self._pending else added
            return x

        return read

    def _writing(self, layer: int, before: Change | None) -> Change:
        def write(y: Tensor) -> Tensor:
            if before is not None:
                before(y)
            return y + self._pending.pop(layer) if layer in self._pending else y

        return write

    def _here(self, m: int) -> Mapping[Feature, Affine]:
        """Gives what is done to features at the m positions of this stretch."""
        return self.acts.at(range(self.start, self.start + m)).features

    def _embeddings(self) -> Iterator[tuple[nn.Module, Mapping[int, float]]]:
        module: Any = self.model.module
        if self.acts.token:
            yield module.get_input_embeddings(), self.acts.token
        if self.acts.position:
            yield module.transformer.wpe, self.acts.position  # only GPT-2 has any

    def _scaling(self, factors: Mapping[int, float]) -> Any:
        def scale(_: nn.Module, __: Any, embedded: Tensor) -> Tensor:
            m = embedded.shape[1]
            times = [factors.get(p, 1.0) for p in range(self.start, self.start + m)]
            return embedded * embedded.new_tensor(times)[:, None]

        return scale
