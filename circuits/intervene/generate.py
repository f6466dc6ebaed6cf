"""What the model writes, left alone and under an intervention that stays on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import UsageError
from circuits.graph.actions import Intervention
from circuits.intervene.anywhere import Acting
from circuits.models.base import Model


@dataclass(frozen=True)
class Written:
    """What follows a prompt, greedily, with nothing done and under an intervention.

    Attributes:
        intervention: what was done.
        before: the tokens written with nothing done.
        after: those written under the intervention.
        texts: the two as text.
    """

    intervention: Intervention
    before: tuple[int, ...]
    after: tuple[int, ...]
    texts: tuple[str, str]

    @property
    def same(self) -> int:
        """Gives how many tokens the two have in common before they part."""
        pairs = enumerate(zip(self.before, self.after, strict=True))
        return next((i for i, (a, b) in pairs if a != b), len(self.before))

    def __str__(self) -> str:
        return f"before: {self.texts[0]!r}\nafter:  {self.texts[1]!r}"


@torch.no_grad()
def generate(
    model: Model,
    dictionary: AbstractDictionary,
    ids: Sequence[int],
    intervention: Intervention,
    n_tokens: int = 20,
    progress: Callable[[str, int, int], None] | None = None,
) -> Written:
    """Gives what the free model writes after a prompt, greedily, without and with an intervention.

    A feature without a position (``12/4051``) is acted on at every position, those of the prompt and those
    written; ``12/4051@7`` only there.

    Args:
        model: the model.
        dictionary: its features.
        ids: the tokens of the prompt.
        intervention: what is done.
        n_tokens: how many tokens to write; a token that ends the text is written like any other.
        progress: told of each token.

    Raises:
        UsageError: an error node is named, no token asked for, or more than the model has positions for.
        NotFound: a name means nothing in this model, dictionary and prompt.

    Example:
        >>> generate(model, sae, (5, 6, 7), Intervention("on", add({"12/4051": 8.0})))  # doctest: +SKIP
    """
    whole, most = len(ids) + n_tokens, model.anatomy.max_positions
    if n_tokens < 1 or whole > most:
        raise UsageError(
            f"{n_tokens} tokens after {len(ids)} of the prompt cannot be written: ask for 1 to"
            f" {most - len(ids)}."
        )
    tell = progress or (lambda *_: None)
    acting = Acting.of(model, dictionary, intervention, whole)
    before = _greedy(model, ids, n_tokens, None, lambda i: tell("tokens", i, 2 * n_tokens))
    after = _greedy(model, ids, n_tokens, acting, lambda i: tell("tokens", n_tokens + i, 2 * n_tokens))
    texts = tuple(
        model.tokenizer.decode(list(part), clean_up_tokenization_spaces=False) for part in (before, after)
    )
    return Written(intervention, before, after, (texts[0], texts[1]))


def _greedy(
    model: Model, ids: Sequence[int], n_tokens: int, acting: Acting | None, step: Callable[[int], None]
) -> tuple[int, ...]:
    """Gives the likeliest next tokens, one after the other, with the module's own cache."""
    module: Any = model.module
    stretch = torch.tensor([[int(i) for i in ids]], device=model.anatomy.embedding.device)
    cache, found = None, []
    with nullcontext() if acting is None else acting.hooked():
        for number in range(n_tokens):
            output = module(stretch, past_key_values=cache, use_cache=True)
            if acting is not None:
                acting.start += stretch.shape[1]
            cache = output.past_key_values
            found.append(int(output.logits[0, -1].argmax()))
            stretch = stretch.new_tensor([[found[-1]]])
            step(number + 1)
    return tuple(found)


def _text(model: Model, ids: Sequence[int]) -> str:
    return model.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
