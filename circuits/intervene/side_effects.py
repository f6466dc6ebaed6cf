"""What an intervention does besides: to other texts, and to the other outputs of its own prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.actions import Affine, Intervention
from circuits.intervene.neutral import NEUTRAL
from circuits.intervene.outcome import divergence
from circuits.intervene.session import Session
from circuits.schema import feature_name, parse_feature

Progress = Callable[[str, int, int], None]

SIDE_EFFECTS: Final = pl.Schema(
    {
        "text": pl.String(),
        "kl": pl.Float64(),  # done at the same places, counted from the end
        "kl_everywhere": pl.Float64(),  # done at every position
        "before": pl.String(),
        "after": pl.String(),  # done at the same places
    }
)


def side_effects(
    session: Session,
    intervention: Intervention,
    *,
    texts: Sequence[str] = NEUTRAL,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Gives what the same acts do to the next token of other texts, on the free model.

    A place of one prompt is found in another by counting from the end; and, for what it does where it stays
    on, what is done to a feature at one position is also done to it at every position.

    Args:
        session: gives the model, the dictionary and the prompt the intervention was made for.
        intervention: acts on features.
        texts: the texts; neutral ones unless given.
        progress: told after every text.

    Returns:
        One row a text: KL(before ‖ after) of the next token in nats, done at the same places and done at
        every position; and the likeliest token before and after, done at the same places. The most changed
        text first.

    Example:
        >>> side_effects(session, ablate(["12/4051@7"]))["kl"].mean()  # doctest: +SKIP
    """
    rows = []
    for done, text in enumerate(texts):
        ids = session.model.encode(text)
        here = from_the_end(intervention, len(ids) - len(session.prompt))
        kls, likeliest = [], []
        for one in (here, everywhere(intervention)):
            before, after = (logits[-1] for logits in session.elsewhere(ids, one))
            kls.append(float(divergence(before, after[None])[0]))
            likeliest += [int(before.argmax()), int(after.argmax())]
        rows.append((text, *kls, *map(session.model.decode, likeliest[:2])))
        if progress is not None:
            progress("other texts", done + 1, len(texts))
    table = pl.DataFrame(rows, schema=SIDE_EFFECTS, orient="row")
    return table.sort("kl", descending=True, maintain_order=True)


def from_the_end(intervention: Intervention, longer: int) -> Intervention:
    """Gives an intervention at the same places, counted from the end, of a text so much longer.

    Acts on places before the text begins are left out.
    """
    nodes: dict[str, Affine] = {}
    for node, done in intervention.nodes.items():
        place = parse_feature(node)
        if place is None:
            nodes[node] = done
        elif place[2] + longer >= 0:
            nodes[feature_name(place[0], place[1], place[2] + longer)] = done
    return Intervention(intervention.name, nodes)


def everywhere(intervention: Intervention) -> Intervention:
    """Gives an intervention with what is done to features at one position done at every position.

    Where a feature is acted on at several positions, the first of these acts is taken.
    """
    nodes: dict[str, Affine] = {}
    for node, done in intervention.nodes.items():
        nodes.setdefault(node.partition("@")[0] if "/" in node else node, done)
    return Intervention(intervention.name, nodes)


def among_others(
    before: Float[np.ndarray, "v"], after: Float[np.ndarray, "v"], aside: Sequence[int]
) -> float:
    """Gives KL(before ‖ after) in nats among all tokens but some: how much else changed on the prompt.

    Args:
        before: logits.
        after: logits under an intervention.
        aside: tokens left out, the probability of the others making one on both sides.
    """
    others = np.setdiff1d(np.arange(len(before)), np.array(aside, np.int64))
    return float(divergence(before[others], after[None, others])[0])
