"""Interventions as they are written: ``NAME=NUMBER``, ``NAME:WAY``, ``RUN:NAME``.

==========  =================  ================================================================
written     example            each node the name means
==========  =================  ================================================================
set         ``12/4051@7=0``    gets this activation
scale       ``Texas=2``        is multiplied by this
add         ``12/4051@7=1.5``  gets this added
ablate      ``Texas:mean``     is switched off (zero), or set to its mean or to a drawn value
swap        ``RUN2:Texas``     gets the value it has in another run; all features without a name
==========  =================  ================================================================

Names are those of `circuits.graph.names`. A feature of the dictionary may be written though the graph does
not hold it: ``12/99@3``, or ``12/99`` at every position.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from circuits.errors import CircuitsError, NotFound, UsageError, near_matches
from circuits.graph.actions import Affine, Intervention
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS
from circuits.graph.names import resolve

Verb = Literal["set", "scale", "add", "ablate", "swap"]
Way = Literal["zero", "mean", "resample"]
WAYS: Final[tuple[str, ...]] = get_args(Way)

SETTING: Final = ("set", "ablate", "swap")
"""Verbs after which a node has a value of its own; they come before scale, and scale before add."""

EXAMPLES: Final[Mapping[str, str]] = {
    "set": "12/4051@7=0",
    "scale": "Texas=2",
    "add": "12/4051@7=1.5",
    "ablate": "Texas:mean",
    "swap": "run/other:Texas",
}

_FEATURE = re.compile(r"(\d+)/(\d+)(?:@(\d+))?")
_PLACED = re.compile(r"(?:tok|pos|err\d+)@(\d+)")


@dataclass(frozen=True)
class Asked:
    """One thing asked for.

    Attributes:
        verb: what is done.
        text: how it was written.
        name: what it is done to, as written; empty for all features of a swap.
        nodes: the nodes meant; None: all features of a swap.
        amount: the number of set, scale and add.
        way: of ablate.
        run: of swap.
    """

    verb: Verb
    text: str
    name: str
    nodes: tuple[str, ...] | None
    amount: float = 0.0
    way: Way = "zero"
    run: Path | None = None

    def __str__(self) -> str:
        match self.verb:
            case "set":
                return f"{self.name} set to {self.amount:g}"
            case "scale":
                return f"{self.name} times {self.amount:g}"
            case "add":
                return f"{self.name} {'plus' if self.amount >= 0 else 'minus'} {abs(self.amount):g}"
            case "ablate":
                return f"{self.name} off" if self.way == "zero" else f"{self.name} at its {_CALLED[self.way]}"
            case "swap":
                return f"{self.name or 'all features'} as in {self.run}"


_CALLED: Final[Mapping[str, str]] = {"mean": "mean", "resample": "drawn value"}


def asked(graph: Graph, verb: Verb, text: str) -> Asked:
    """Gives what a text asks for.

    Args:
        graph: of the prompt to be intervened on.
        verb: what is to be done.
        text: how it is written; see the module.

    Raises:
        UsageError: it is not written so, the number is none, or the name means what cannot be acted on.
        NotFound: the name means nothing, or what it names is outside the prompt or the dictionary.

    Example:
        >>> asked(graph, "set", "12/4051@7=0").nodes  # doctest: +SKIP
        ('12/4051@7',)
    """
    match verb:
        case "ablate":
            name, way = _ablated(graph, text)
            return Asked(verb, text, name, nodes_named(graph, name), way=way)
        case "swap":
            run, name = _swapped(text)
            return Asked(verb, text, name, nodes_named(graph, name) if name else None, run=run)
        case _:
            name, amount = _amount(verb, text)
            return Asked(verb, text, name, nodes_named(graph, name), amount)


def together(parts: Sequence[tuple[Asked, Mapping[str, Affine]]]) -> Intervention:
    """Gives the intervention that does all of them: values are set, then scaled, then added to.

    Args:
        parts: what was asked for, and what it does to each node.

    Raises:
        UsageError: two of them set the same node.
    """
    owner: dict[str, Asked] = {}
    for one, done in parts:
        for node in done if one.verb in SETTING else ():
            first = next((owner[name] for name in _overlapping(node, owner)), None)
            if first is not None:
                raise UsageError(
                    f"{first.text!r} and {one.text!r} both say what {node} becomes: leave one of them out."
                )
        owner |= dict.fromkeys(done, one) if one.verb in SETTING else {}
    order = [*SETTING, "scale", "add"]
    sorted_parts = sorted(parts, key=lambda part: max(order.index(part[0].verb), len(SETTING) - 1))
    return Intervention.of(", ".join(str(one) for one, _ in parts), *(done for _, done in sorted_parts))


def nodes_named(graph: Graph, name: str) -> tuple[str, ...]:
    """Gives the nodes a name means, none of them an output or a constant.

    Raises:
        UsageError, NotFound: as for `asked`.
    """
    name = name.strip()
    if found := _FEATURE.fullmatch(name):
        if name not in graph.index:
            _check_room(graph, name, [None if part is None else int(part) for part in found.groups()])
        return (name,)
    if found := _PLACED.fullmatch(name):
        _check_position(graph, name, int(found[1]))
    if name in graph.index and graph.nodes["kind"][graph.row(name)] in CONSTANTS:
        raise UsageError(f"{name} is a constant of the model, always on: act on features, words or errors.")
    nodes = resolve(graph, name).nodes
    outputs = [node for node in nodes if graph.nodes["kind"][graph.row(node)] == "logit"]
    if outputs:
        raise UsageError(
            f"{outputs[0]} is an output: it cannot be set, only what leads to it. Act on features or words."
        )
    return nodes


def _amount(verb: Verb, text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    if not equals or not name.strip():
        raise UsageError(f"--{verb} {text!r} has no number: write NAME=NUMBER, such as {EXAMPLES[verb]}.")
    try:
        amount = float(number)
    except ValueError:
        raise UsageError(
            f"--{verb} {text!r}: {number.strip()!r} is no number: write NAME=NUMBER, such as"
            f" {EXAMPLES[verb]}."
        ) from None
    if not math.isfinite(amount):
        raise UsageError(f"--{verb} {text!r}: {number.strip()} is no activation: give a finite number.")
    return name.strip(), amount


def _ablated(graph: Graph, text: str) -> tuple[str, Way]:
    name, colon, tail = text.strip().rpartition(":")
    way = tail.strip()
    if colon and name.strip() and way in WAYS:
        return name.strip(), way  # type: ignore[return-value]  # one of WAYS
    try:
        nodes_named(graph, text)
    except CircuitsError as error:
        if colon and way.isalpha() and (near_matches(way, WAYS) or _means(graph, name)):
            raise UsageError(
                f"--ablate {text!r}: {way!r} is no way to ablate: write {', '.join(WAYS[:-1])} or {WAYS[-1]}."
            ) from error
        raise
    return text.strip(), "zero"


def _means(graph: Graph, name: str) -> bool:
    try:
        nodes_named(graph, name)
    except CircuitsError:
        return False
    return True


def _swapped(text: str) -> tuple[Path, str]:
    """Gives the run and the name: the longest beginning, up to a colon or all, that is a directory."""
    cuts = [len(text), *(place for place in range(len(text) - 1, -1, -1) if text[place] == ":")]
    for cut in cuts:
        run = Path(text[:cut])
        if text[:cut].strip() and run.is_dir():
            return run, text[cut + 1 :].strip()
    shown = text.partition(":")[0] or text
    raise NotFound(
        f"--swap {text!r}: there is no run {shown!r}. Write RUN or RUN:NAME, where RUN is a directory made by"
        " circuits attribute."
    )


def _check_room(graph: Graph, name: str, place: Sequence[int | None]) -> None:
    """Refuses a feature outside the dictionary or the prompt."""
    entry: Mapping[str, Any] = graph.meta.get("dictionary") or {}
    layer, feature, position = place
    layers = list(entry.get("layers") or ())
    if not layers or not entry.get("n_features"):
        graph.row(name)  # refuses, near matches offered
        return
    if layer not in layers:
        raise NotFound(f"{name}: no features in layer {layer}: this dictionary has layers {_listed(layers)}.")
    if feature is not None and feature >= entry["n_features"]:
        raise NotFound(
            f"{name}: no feature {feature:,} at layer {layer}: this dictionary has {entry['n_features']:,},"
            " counted from 0."
        )
    _check_position(graph, name, position)


def _check_position(graph: Graph, name: str, position: int | None) -> None:
    n = len((graph.meta.get("prompt") or {}).get("ids") or ())
    if position is not None and n and position >= n:
        raise NotFound(f"{name}: no position {position}: the prompt has {n} tokens, 0 to {n - 1}.")


def _listed(layers: Sequence[int]) -> str:
    whole = layers == list(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if whole and len(layers) > 2 else ", ".join(map(str, layers))


def _overlapping(node: str, others: Mapping[str, Any]) -> list[str]:
    """Gives the names among others that mean a place this one means too."""
    base, at, _ = node.partition("@")
    same = [node, base] if at else [node, *(name for name in others if name.partition("@")[0] == base)]
    return [name for name in dict.fromkeys(same) if name in others]
