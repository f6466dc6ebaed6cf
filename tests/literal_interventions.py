"""Interventions by hooks on the Hugging Face module, one at a time: an oracle of its own code."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from circuits.dictionaries.base import AbstractDictionary
from circuits.models.base import Model
from circuits.models.sites import block

Done = Mapping[tuple[int, int, int], tuple[float, float]]
"""(layer, feature, position) → (scale, offset): a becomes scale · a + offset."""


@dataclass
class Edit:
    """What is written besides, per layer, as the pass goes."""

    dictionary: AbstractDictionary
    done: Done
    added: dict[int, torch.Tensor] = field(default_factory=dict)

    def read(self, layer: int, x: torch.Tensor) -> None:
        """Encodes all that reaches the read site with the whole dictionary, and notes the difference."""
        encoding = self.dictionary.encode(layer, x[0])
        for (at, feature, p), (scale, offset) in self.done.items():
            if at != layer:
                continue
            a = encoding.activation[p, feature]
            for term in self.dictionary.write_terms(layer, x[0]):
                times = 1.0 if term.coefficient is None else term.coefficient[p]
                into = self.added.setdefault(term.layer, torch.zeros_like(x[0]))
                into[p] += (scale * a + offset - a) * times * term.rows.all()[feature]

    def before(self, layer: int):
        """A hook where features read."""
        return lambda _, args: self.read(layer, args[0])

    def after(self, layer: int, *, reads: bool):
        """A hook where features write, and read if they do so at the same place."""

        def hook(_, __, y):
            whole = y if isinstance(y, tuple) else (y,)
            if reads:
                self.read(layer, whole[0])
            if layer not in self.added:
                return None
            whole = (whole[0] + self.added[layer], *whole[1:])
            return whole if isinstance(y, tuple) else whole[0]

        return hook


@torch.no_grad()
def logits_under(
    model: Model, dictionary: AbstractDictionary, ids, done: Done, tokens: Mapping[int, float] | None = None
) -> torch.Tensor:
    """Gives the module's own logits (n, v) while what features write is edited where they write.

    The activation a feature has is what the whole dictionary encodes of what reaches its read site in
    this very pass; the module's output at its write site gets (scale · a + offset − a) · its decoder row.
    Token embeddings are multiplied by `tokens`.
    """
    edit, same = Edit(dictionary, done), dictionary.read_site == dictionary.write_site
    with contextlib.ExitStack() as hooks:
        for layer in dictionary.layers:
            parts = block(model, layer)
            ends = {"mlp_out": parts.mlp, "mlp_added": parts.post or parts.mlp, "block_out": parts.whole}
            if not same:
                start = {"mlp_in": parts.mlp, "residual": parts.norm}[dictionary.read_site]
                hooks.callback(start.register_forward_pre_hook(edit.before(layer)).remove)
            end = ends[dictionary.write_site]
            hooks.callback(end.register_forward_hook(edit.after(layer, reads=same)).remove)
        factors = torch.tensor([(tokens or {}).get(p, 1.0) for p in range(len(ids))], dtype=model.dtype)
        embedding = model.module.get_input_embeddings()
        hooks.callback(embedding.register_forward_hook(lambda _, __, y: y * factors[:, None]).remove)
        return model.module(torch.tensor([list(ids)]), use_cache=False).logits[0]
