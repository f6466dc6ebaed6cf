"""What becomes of a change of the residual stream in the parts of a block, held still or free.

All arrays are changes, (B, m, d), from the untouched prompt: B interventions, the m positions from `start`
on (earlier ones never change: attention looks back only). A part held still is linear in them and exact;
a free part runs on recorded + change and gives what it then gives beyond what was recorded.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.extraction.passing import Passing
from circuits.intervene.hold import Hold
from circuits.intervene.recorded import Recorded
from circuits.models.base import Norm
from circuits.models.forward import apply_norm, centred, mix, norm_scale, run_mlp
from circuits.models.scores import At, keys, patterns, queries, scores

Change = Float[Tensor, "B m d"]


def norm_moved(
    norm: Norm, recorded: tuple[Float[Tensor, "n d"], Float[Tensor, "n"]], moved: Change, *, held: bool
) -> Change:
    """Gives the change of a norm's output.

    Args:
        norm: the norm.
        recorded: its input and its scale, at the last of which positions the change is.
        moved: the change of its input.
        held: the scale stays as recorded.
    """
    still, scale = (part[-moved.shape[1] :] for part in recorded)
    if held:
        return norm.gain * (centred(norm, moved) * scale[:, None])
    now = still + moved
    return apply_norm(norm, now, norm_scale(norm, now)) - apply_norm(norm, still, scale)


def attention_moved(recorded: Recorded, layer: int, moved: Change, hold: Hold) -> Change:
    """Gives the change of what attention adds to the stream, post-norm applied."""
    run, parts = recorded.frozen.forward, recorded.parts(layer)
    x = norm_moved(
        parts.attention_norm, (run.attention_in[layer], run.attention_scale[layer]), moved, held=hold.norms
    )
    start = recorded.frozen.n_positions - moved.shape[1]
    value = torch.einsum("krd,bnd->bknr", parts.attention.value, x)
    pattern = run.pattern[layer, :, start:, start:]
    if not hold.patterns:
        changed, values_now = _patterns_moved(recorded, layer, x, value, held_norms=hold.norms)
        # P' V' - P V = P (V' - V) + (P' - P) V', in one product
        pattern = torch.cat([pattern.expand(len(x), -1, -1, -1), changed], dim=-1)
        value = torch.cat([value, values_now], dim=-2)
    y = mix(parts.attention, pattern, value)
    if parts.attention_post_norm is None:
        return y
    post = (recorded.attention_output(layer), run.attention_post_scale[layer])
    return norm_moved(parts.attention_post_norm, post, y, held=hold.norms)


def _patterns_moved(
    recorded: Recorded, layer: int, x: Change, value: Float[Tensor, "B K m R"], *, held_norms: bool
) -> tuple[Float[Tensor, "B H m n"], Float[Tensor, "B K n R"]]:
    """Gives the change of the patterns that follows from the input's, and the values as they now are."""
    seen, parts = recorded.attended(layer), recorded.parts(layer).attention.scores
    start = recorded.frozen.n_positions - x.shape[1]
    now = recorded.attention_input(layer)[start:] + x
    scale = {name: getattr(seen, name).scale[:, start:] if held_norms else None for name in ("query", "key")}
    query = queries(parts, now, At(start, scale["query"])).turned
    key = keys(parts, now, At(start, scale["key"])).turned
    before_key, before_value = (
        part[:, :start].expand(len(x), -1, -1, -1) for part in (seen.key.turned, seen.value)
    )
    score = scores(parts, query, torch.cat([before_key, key], dim=-2))
    visible = recorded.frozen.forward.pattern[layer, :, start:] != 0
    changed = patterns(parts, score, visible) - seen.pattern[:, start:]
    return changed, torch.cat([before_value, seen.value[:, start:] + value], dim=-2)


def mlp_moved(recorded: Recorded, layer: int, x: Change) -> Change:
    """Gives the change of the MLP's own output, the MLP being free."""
    now = recorded.mlp_input(layer)[-x.shape[1] :] + x
    return run_mlp(recorded.parts(layer).mlp, now) - recorded.mlp_output(layer)[-x.shape[1] :]


def passing_moved(held: Passing, x: Change) -> Change:
    """Gives the change of a held MLP's output, before a post-norm."""
    m = x.shape[1]
    hidden = held.coefficient[0][-m:] * (x @ held.read[0].T)
    for coefficient, rows in zip(held.coefficient[1:], held.read[1:], strict=True):
        hidden = hidden + coefficient[-m:] * (x @ rows.T)
    return hidden @ held.write.T


def added_moved(recorded: Recorded, layer: int, y: Change, hold: Hold) -> Change:
    """Gives the change of what the MLP adds to the stream, from that of its own output."""
    norm = recorded.parts(layer).mlp_post_norm
    if norm is None:
        return y
    post = (recorded.mlp_output(layer), recorded.frozen.forward.mlp_post_scale[layer])
    return norm_moved(norm, post, y, held=hold.norms)
