"""What if this were done? The graph's prediction beside what the model does, as an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import UsageError, near_matches
from circuits.graph.actions import Intervention
from circuits.graph.predict import predict, without_predictions
from circuits.intervene.carry import Carried
from circuits.intervene.generate import Written
from circuits.intervene.hold import FREE, FROZEN, Hold
from circuits.intervene.outcome import Outcome, divergence
from circuits.intervene.session import Session
from circuits.intervene.written import together
from circuits.query.answer import Answer
from circuits.query.subject import induced
from circuits.query.text import Naming, listing, percent, plain, quoted, signed

Progress = Callable[[str, int, int], None]

BOTH: Final[Mapping[str, Hold]] = {"held": FROZEN, "free": FREE}
"""What is measured unless something else is asked for."""

SHOWN: Final = 3
"""Nodes named in a sentence, at most."""

_PARTS: Final = ("patterns", "norms", "mlps")


@dataclass(frozen=True)
class Ways:
    """How to measure and tell.

    Attributes:
        holds: by the column's name, what is held still; the last tells outputs and what is written.
        each: every thing asked for by itself rather than all together.
        generate: tokens to write; 0 writes none.
    """

    holds: Mapping[str, Hold] = field(default_factory=lambda: BOTH)
    each: bool = False
    generate: int = 0


def hold_of(text: str | None, until: int | None, n_layers: int) -> Mapping[str, Hold]:
    """Gives what is held still, from how it is written: ``patterns,norms``, ``frozen`` or ``nothing``.

    Nothing written: all held and nothing held, side by side.

    Raises:
        UsageError: a part is none of these; a layer the model does not have; nothing to hold until it.
    """
    if until is not None and not 0 <= until < n_layers:
        raise UsageError(f"Until layer {until}: the model has layers 0 to {n_layers - 1}.")
    if text is None:
        return BOTH if until is None else {"held": Hold(True, True, True, until), "free": FREE}
    named = [part.strip() for part in text.split(",") if part.strip()]
    if named == ["frozen"]:
        named = list(_PARTS)
    if named == ["nothing"]:
        if until is not None:
            raise UsageError(f"Nothing held until layer {until}: say what is held, or leave --until out.")
        return {"free": FREE}
    unknown = [part for part in named if part not in _PARTS]
    if unknown or not named:
        given = unknown[0] if unknown else text
        raise UsageError(
            f"--hold {given!r}: hold patterns, norms, mlps, several joined by commas; or frozen (all of them)"
            f" or nothing.{near_matches(given, (*_PARTS, 'frozen', 'nothing'))}"
        )
    return {"held": Hold("patterns" in named, "norms" in named, "mlps" in named, until)}


def what_if(
    session: Session, parts: Sequence[Carried], ways: Ways = Ways(), *, progress: Progress | None = None
) -> Answer:
    """Gives what the graph predicts of an intervention beside what is measured on the model.

    Args:
        session: of a run.
        parts: what is done.
        ways: what is held, whether parts are done together, how many tokens are written.
        progress: told of each phase.

    Raises:
        UsageError: nothing is done; two parts set the same node; as for `Session.run`.
        NotFound: a name means nothing in this model, dictionary and prompt.

    Example:
        >>> part = carried(session, asked(graph, "set", "12/4051@7=0"))  # doctest: +SKIP
        >>> print(what_if(session, [part]))  # doctest: +SKIP
    """
    if not parts:
        raise UsageError("Nothing is done: say what, with --set, --scale, --add, --ablate or --swap.")
    pairs = [(part.asked, part.done) for part in parts]
    doing = [together([pair]) for pair in pairs] if ways.each else [together(pairs)]
    foreseen, unforeseen = _predicted(session, doing)
    measured = {name: session.run(doing, hold, progress=progress) for name, hold in ways.holds.items()}
    written = [session.generate(one, ways.generate, progress=progress) for one in doing if ways.generate]
    last = list(measured.values())[-1]
    tables = {
        "targets": _targets(session, doing, foreseen, measured),
        "outputs": _outputs(last, each=ways.each),
        **({"written": _written(written)} if written else {}),
    }
    acted = [
        node for node in dict.fromkeys(n for one in doing for n in one.nodes) if node in session.graph.index
    ]
    rows = [session.graph.row(node) for node in (*session.graph.targets, *acted)]
    return Answer(
        question=f"What if {listing(str(part.asked) for part in parts)}{', one at a time' * ways.each}?",
        finding=(*_found(tables["targets"], last, ways), *_notes(parts, doing, unforeseen)),
        tables=tables,
        highlight=induced(session.graph, np.array(rows, np.int64)),
        code=_code(session, doing),
        captions=_captions(ways),
        meta={
            "query": "what if",
            "asked": {"parts": [{"verb": p.asked.verb, "text": p.asked.text} for p in parts]},
            "held": {name: str(hold) for name, hold in ways.holds.items()},
            "done": {
                one.name: {node: {"scale": d.scale, "offset": d.offset} for node, d in one.nodes.items()}
                for one in doing
            },
            "kl": {name: _kl(outcome).tolist() for name, outcome in measured.items()},
            "unpredicted": [node for lacking in unforeseen for node in lacking],
        },
    )


def _predicted(
    session: Session, doing: Sequence[Intervention]
) -> tuple[Float[np.ndarray, "B T"], list[list[str]]]:
    """Gives what the graph predicts of each intervention, NaN where it lacks a node; and these nodes."""
    graph = session.graph
    lacking = [without_predictions(graph, [one]) for one in doing]
    values = np.full((len(doing), len(graph.targets)), np.nan)
    known = [i for i, lacks in enumerate(lacking) if not lacks]
    if known and graph.targets:
        values[known] = predict(graph, [doing[i] for i in known])
    return values, lacking


def _targets(
    session: Session,
    doing: Sequence[Intervention],
    foreseen: Float[np.ndarray, "B T"],
    measured: Mapping[str, Outcome],
) -> pl.DataFrame:
    """Gives, for each intervention and target, its value before and the changes predicted and measured."""
    graph, naming = session.graph, Naming.of(session.graph)
    own = [graph.nodes["pre_activation"][graph.row(target)] for target in graph.targets]
    rows: list[dict[str, object]] = []
    for number, one in enumerate(doing):
        for column, target in enumerate(graph.targets):
            outcomes = {name: outcome.effects[number, column] for name, outcome in measured.items()}
            before = next(iter(measured.values())).before[column]
            foresight = foreseen[number, column] - (before if own[column] is None else own[column])
            rows.append(
                {
                    **({"intervention": one.name} if len(doing) > 1 else {}),
                    "target": naming.output(target) if target.startswith("logit:") else target,
                    "before": float(before),
                    "predicted": None if np.isnan(foresight) else float(foresight),
                    **{name: float(value) for name, value in outcomes.items()},
                }
            )
    return pl.DataFrame(rows, schema_overrides={"predicted": pl.Float64, "before": pl.Float64})


def _outputs(outcome: Outcome, *, each: bool) -> pl.DataFrame:
    """Gives the likeliest tokens before and after; for several interventions one row each."""
    top = outcome.top(1 if each else 6).with_columns(
        pl.col("token").map_elements(quoted, return_dtype=pl.String)
    )
    if not each:
        return top.select("token", "before", "after", "change")
    likeliest = top.group_by("intervention", maintain_order=True).first()
    kl = pl.DataFrame({"intervention": [one.name for one in outcome.interventions], "kl": _kl(outcome)})
    return likeliest.select("intervention", "token", "before", "after").join(kl, on="intervention")


def _written(written: Sequence[Written]) -> pl.DataFrame:
    rows = [("nothing done", quoted(written[0].texts[0]))]
    rows += [(one.intervention.name, quoted(one.texts[1])) for one in written]
    return pl.DataFrame(rows, schema={"intervention": pl.String(), "writes": pl.String()}, orient="row")


def _kl(outcome: Outcome) -> Float[np.ndarray, "B"]:
    return divergence(outcome.logits_before, outcome.logits)


def _found(targets: pl.DataFrame, outcome: Outcome, ways: Ways) -> tuple[str, ...]:
    if ways.each:
        return ()
    top = outcome.top(1)
    was = top.sort("before", descending=True).row(0, named=True)
    now = top.sort("after", descending=True).row(0, named=True)
    chances = percent(was["before"]), percent(now["after"])
    if was["token"] == now["token"]:
        change = f"stays the likeliest next token ({chances[0]} before, {chances[1]} after)"
    else:
        change = f"({chances[0]}) gives way to {quoted(now['token'])} ({chances[1]})"
    kl = plain(float(_kl(outcome)[0]))
    found = [f"{quoted(was['token'])} {change}, {outcome.hold} held; KL {kl} nats."]
    if len(targets):
        first = targets.row(0, named=True)
        said = listing(f"{signed(first[name])} with {hold} held" for name, hold in ways.holds.items())
        expected = first["predicted"]
        foresight = "" if expected is None else f" The graph, where all is held, predicts {signed(expected)}."
        found.append(
            f"The value of {first['target']}, {plain(first['before'])} with nothing done, changes by {said},"
            f" measured on the model.{foresight}"
        )
    return tuple(found)


def _notes(
    parts: Sequence[Carried], doing: Sequence[Intervention], unforeseen: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    notes = []
    for part in parts:
        if part.left:
            swapped = part.asked.verb == "swap"
            why = "no counterpart in the other run" if swapped else "no value elsewhere, only features have"
            notes.append(f"Of {part.asked.name}, {_some(part.left)} stays as it is: {why}.")
    for one, lacking in zip(doing, unforeseen, strict=True):
        if lacking:
            which = f" of {one.name}" if len(doing) > 1 else ""
            notes.append(f"The graph does not hold {_some(lacking)}, so it predicts nothing{which}.")
    return tuple(notes)


def _some(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
    return ", ".join(nodes[:SHOWN]) + more


def _captions(ways: Ways) -> dict[str, str]:
    held = "; ".join(f"{name}: measured with {hold} held" for name, hold in ways.holds.items())
    last = str(list(ways.holds.values())[-1])
    return {
        "targets": (
            "before: the value with nothing done (a logit less the mean of all logits); predicted: the change"
            f" the graph predicts; {held}."
        ),
        "outputs": (
            "Next tokens and their probabilities with nothing done (before) and under the intervention"
            f" (after); {last} held."
        ),
        "written": "What the model writes after the prompt, likeliest token by token, nothing held.",
    }


def _code(session: Session, doing: Sequence[Intervention]) -> str:
    meta = session.graph.meta
    model, dictionary = (str((meta.get(part) or {}).get("spec")) for part in ("model", "dictionary"))
    listed = []
    for one in doing:
        listed.append(f"    circuits.Intervention({one.name!r}, {{")
        few = list(one.nodes.items())[:SHOWN]
        listed += [f"        {node!r}: Affine({d.scale:.6g}, {d.offset:.6g})," for node, d in few]
        if len(one.nodes) > SHOWN:
            listed.append(
                f"        # and {len(one.nodes) - SHOWN} more nodes: the answer's meta['done'] has them all"
            )
        listed.append("    }),")
    return "\n".join(
        [
            "import circuits",
            "from circuits.graph.actions import Affine",
            "",
            f"model = circuits.load_model({model!r})",
            f"dictionary = circuits.load_dictionary({dictionary!r}, model)",
            f"graph = circuits.load_run({str(meta.get('run') or 'run')!r})",
            "done = [",
            *listed,
            "]",
            "print(circuits.predict(graph, done))",
            "outcome = circuits.Session.of(model, dictionary, graph).run(done)",
            "print(outcome.table(), outcome.top())",
        ]
    )
