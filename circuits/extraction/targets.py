"""From what was asked to directions in the residual stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import NotFound, UsageError, near_matches
from circuits.extraction.fold import Frozen, norm_frame
from circuits.models.base import Model
from circuits.models.forward import probabilities
from circuits.prompt import FeatureTarget, Logit, LogitDifference, Prompt, Target, TopLogits
from circuits.schema import feature_name, parse_feature


@dataclass(frozen=True)
class Aim:
    """One output to explain: value = bias + vector · r(L, position), or a feature's pre-activation.

    Attributes:
        name: its node name.
        ids: the token, or the two tokens of a difference; empty for a feature.
        position: where it is read.
        weight: its share in influence; all aims together have 1.
        vector: final norm, its scale and centring folded; demeaned over the vocabulary.
        bias: what norm bias and unembedding bias give.
        value: the demeaned logit (before any softcap) or their difference on this prompt.
        probability: the model's probability of the token, softcap included.
        feature: (layer, feature, position) of a feature target.
    """

    name: str
    ids: tuple[int, ...]
    position: int
    weight: float
    vector: Float[Tensor, "d"]
    bias: float = 0.0
    value: float = 0.0
    probability: float | None = None
    feature: tuple[int, int, int] | None = None


def resolve(frozen: Frozen, prompt: Prompt) -> tuple[Aim, ...]:
    """Gives the outputs a prompt asks for; the same output asked for twice is given once.

    Each target of the prompt has the same weight; top logits share theirs by probability.

    Raises:
        UsageError: a target's text is several tokens.
        NotFound: a target's text is no token, or a feature is off on this prompt.
    """
    last = frozen.n_positions - 1
    chances = probabilities(frozen.model.anatomy, frozen.forward.logits[last])
    aims: dict[tuple[object, ...], Aim] = {}
    for target in prompt.targets:
        for aim in _aims(frozen, target, chances, last):
            key = (aim.ids, aim.feature)
            shared = replace(aim, weight=aim.weight / len(prompt.targets))
            aims[key] = replace(shared, weight=shared.weight + aims[key].weight) if key in aims else shared
    return _distinct(list(aims.values()))


def token_id(model: Model, text: str) -> int:
    """Gives the one token that is spelt exactly as `text`.

    Raises:
        UsageError: the text is several tokens; they are listed.
        NotFound: no token is spelt like this; near matches are offered.
    """
    ids = [int(i) for i in model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    if len(ids) == 1 and model.decode(ids[0]) == text:
        return ids[0]
    vocabulary = [model.decode(i) for i in range(len(model.anatomy.unembedding))]
    if text in vocabulary:  # tokenizers that spell a text differently at its start
        return vocabulary.index(text)
    alike = [word for word in (f" {text}", text.strip()) if word != text and word in vocabulary]
    hint = f" Did you mean {' or '.join(map(repr, alike))}?" if alike else ""
    pieces = [model.decode(i) for i in ids]
    if len(ids) > 1 and "".join(pieces) == text:
        listed = ", ".join(map(repr, pieces))
        raise UsageError(f"{text!r} is {len(ids)} tokens ({listed}) and a target is one.{hint}")
    raise NotFound(f"{model.name} has no token {text!r}.{hint or near_matches(text, set(vocabulary))}")


def _aims(frozen: Frozen, target: Target, chances: Float[Tensor, "v"], last: int) -> Iterable[Aim]:
    match target:
        case TopLogits():
            likely = _likely(chances, target)
            share = float(chances[list(likely)].sum())
            return [_logit_aim(frozen, i, chances, last, float(chances[i]) / share) for i in likely]
        case Logit():
            return [_logit_aim(frozen, token_id(frozen.model, target.token), chances, last, 1.0)]
        case LogitDifference():
            first, second = (token_id(frozen.model, text) for text in (target.token, target.over))
            if first == second:
                raise UsageError(f"{target.token!r} minus itself is always 0: name two tokens.")
            return [_difference(frozen, (first, second), chances, last)]
        case FeatureTarget():
            return [_feature_aim(frozen, target.node)]


def _likely(chances: Float[Tensor, "v"], target: TopLogits) -> tuple[int, ...]:
    best = torch.topk(chances.double(), min(target.most, len(chances)))
    covered = torch.cumsum(best.values, dim=0)
    enough = int((covered < target.coverage).sum()) + 1  # the one that crosses the coverage counts
    return tuple(int(i) for i in best.indices[:enough])


def _logit_aim(frozen: Frozen, token: int, chances: Tensor, last: int, weight: float) -> Aim:
    anatomy = frozen.model.anatomy
    mean = anatomy.unembedding.mean(dim=0)
    raised = 0.0
    if anatomy.unembedding_bias is not None:
        raised = float(anatomy.unembedding_bias[token] - anatomy.unembedding_bias.mean())
    aim = _read_aim(frozen, anatomy.unembedding[token] - mean, last, raised)
    text = frozen.model.decode(token)
    return replace(
        aim, name=f"logit:{_plain(text)}", ids=(token,), weight=weight, probability=float(chances[token])
    )


def _difference(frozen: Frozen, pair: tuple[int, int], chances: Tensor, last: int) -> Aim:
    one, other = (_logit_aim(frozen, i, chances, last, 1.0) for i in pair)
    return replace(
        one,
        name=f"{one.name}-{_plain(frozen.model.decode(pair[1]))}",
        ids=pair,
        vector=one.vector - other.vector,
        bias=one.bias - other.bias,
        value=one.value - other.value,
        probability=None,
    )


def _read_aim(frozen: Frozen, direction: Float[Tensor, "d"], position: int, raised: float) -> Aim:
    """Gives the aim of a direction in unembedding space, read through the final norm."""
    frame = norm_frame(frozen.model.anatomy.final_norm, frozen.forward.final_scale)
    vector = frame.pull(direction[None])[0] * frame.scale[position]
    bias = float(frame.offset(direction[None])[0]) + raised
    value = float(vector.double() @ frozen.forward.final[position].double()) + bias
    return Aim("", (), position, 1.0, vector, bias, value)


def _feature_aim(frozen: Frozen, node: str) -> Aim:
    parsed = parse_feature(node)
    assert parsed is not None, "FeatureTarget has checked it"
    layer, feature, position = parsed
    sizes = (frozen.model.n_layers, frozen.dictionary.n_features, frozen.n_positions)
    for what, given, size in zip(("layer", "feature", "position"), parsed, sizes, strict=True):
        if given >= size:
            raise NotFound(f"No {what} {given} for the target {node}: there are {size}, counted from 0.")
    if layer not in frozen.dictionary.layers:
        listed = ", ".join(map(str, frozen.dictionary.layers))
        raise NotFound(f"{frozen.dictionary.spec} has no features in layer {layer}: it covers {listed}.")
    active = frozen.dictionary.encode(layer, frozen.inputs(layer)).activation != 0
    if not active[position, feature]:
        elsewhere = [feature_name(layer, feature, int(p)) for p in active[:, feature].nonzero()[:3, 0]]
        here = (feature_name(layer, int(i), position) for i in active[position].nonzero()[:, 0])
        hint = f" It is active as {', '.join(elsewhere)}." if elsewhere else near_matches(node, here)
        raise NotFound(f"Feature {node} is off on this prompt.{hint}")
    return Aim(node, (), position, 1.0, torch.zeros_like(frozen.forward.final[0]), feature=parsed)


def _plain(text: str) -> str:
    return text.strip() or repr(text)


def _distinct(aims: Sequence[Aim]) -> tuple[Aim, ...]:
    """Gives the aims with the tokens' numbers added to names that would collide."""
    names = [aim.name for aim in aims]
    return tuple(
        replace(aim, name=f"{aim.name}#{'-'.join(map(str, aim.ids))}") if names.count(aim.name) > 1 else aim
        for aim in aims
    )


def quoted(text: str) -> str:
    """Gives a token's text in double quotes, line breaks and the like escaped.

    Example:
        >>> print(quoted(" Paris"))
        " Paris"
    """
    return json.dumps(text, ensure_ascii=False)
