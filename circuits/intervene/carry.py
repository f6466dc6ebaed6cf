"""What was asked for in writing, with the values it takes from elsewhere looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from circuits.errors import UsageError
from circuits.graph.actions import Affine, add, scale, setting
from circuits.graph.io import load_run
from circuits.intervene.neutral import NEUTRAL
from circuits.intervene.session import Session
from circuits.intervene.sources import Align, mean, resample, swap
from circuits.intervene.written import Asked
from circuits.schema import parse_feature

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How values from elsewhere are found.

    Attributes:
        texts: what mean and resample are taken from.
        seed: of the draws of resample.
        align: how places of two prompts correspond.
    """

    texts: Sequence[str] = NEUTRAL
    seed: int = 0
    align: Align = "end"


@dataclass(frozen=True)
class Carried:
    """One thing asked for, ready to be done.

    Attributes:
        asked: what was asked for.
        done: what becomes of each node.
        left: nodes that were named and stay as they are: what has no value elsewhere.
    """

    asked: Asked
    done: Mapping[str, Affine]
    left: tuple[str, ...] = ()


def carried(
    session: Session, asked: Asked, settings: Settings = Settings(), progress: Progress | None = None
) -> Carried:
    """Gives what was asked for, ready to be done.

    Only features have a mean, a draw, a counterpart in another prompt: of a concept, its other nodes stay
    as they are.

    Args:
        session: of the prompt.
        asked: what was asked for.
        settings: how values from elsewhere are found.
        progress: told while texts are encoded.

    Raises:
        UsageError: nothing of what was named has a value elsewhere.
        CircuitsError: as for loading the other run.
    """
    nodes = asked.nodes
    match asked.verb:
        case "set":
            return Carried(asked, setting(dict.fromkeys(nodes or (), asked.amount)))
        case "scale":
            return Carried(asked, scale(dict.fromkeys(nodes or (), asked.amount)))
        case "add":
            return Carried(asked, add(dict.fromkeys(nodes or (), asked.amount)))
    if asked.verb == "ablate" and asked.way == "zero":
        return Carried(asked, setting(dict.fromkeys(nodes or (), 0.0)))
    features = None if nodes is None else [node for node in nodes if _is_feature(node)]
    if features is not None and not features:
        raise UsageError(
            f"{asked.text!r} names no feature, and only features have values elsewhere:"
            " set it to 0, or scale it."
        )
    if asked.verb == "swap":
        assert asked.run is not None
        done = swap(session, load_run(asked.run), features, align=settings.align)
        if not done:
            raise UsageError(f"{asked.text!r}: no place of this prompt corresponds to one of the other run.")
    elif asked.way == "mean":
        done = mean(session, features or (), texts=settings.texts, progress=progress)
    else:
        done = resample(session, features or (), seed=settings.seed, texts=settings.texts, progress=progress)
    given = {name for node in done for name in (node, node.partition("@")[0])}
    return Carried(asked, done, tuple(node for node in nodes or () if node not in given))


def _is_feature(node: str) -> bool:
    return parse_feature(node if "@" in node else f"{node}@0") is not None
