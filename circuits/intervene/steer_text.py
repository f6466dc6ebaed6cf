"""A search for an intervention, told as an answer."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from circuits.graph.actions import Affine
from circuits.query.answer import Answer
from circuits.query.subject import induced
from circuits.query.text import Naming, listing, percent, plain, quoted, signed

if TYPE_CHECKING:
    from circuits.intervene.steer import Steering

CAPTIONS: Final = {
    "acts": (
        "What to do. activation: on this prompt, nothing done; becomes: under the intervention, were it done"
        " alone."
    ),
    "outputs": (
        "Next tokens and their probabilities with nothing done (before) and under the intervention (after),"
        " measured on the model, nothing held."
    ),
    "tried": (
        "Candidates tried on the model at full strength. predicted: the gap by the graph; measured: on the"
        " model, nothing held; output: the likeliest token then."
    ),
    "side effects": (
        "Other texts, the most changed first. kl: KL(before ‖ after) of the next token in nats, the same done"
        " at the same places, counted from the end; kl_everywhere: done at every position; before, after: the"
        " likeliest next token."
    ),
}


def told(steering: Steering) -> Answer:
    """Gives a search as an answer: what to do, what was predicted and measured, what else it does."""
    effects = steering.side_effects
    acts = _acts(steering)
    nodes = [steering.ground.wanted, *steering.ground.rivals[:1], *acts["node"]]
    rows = np.array([steering.graph.row(node) for node in nodes])
    return Answer(
        question=_question(steering),
        finding=(*_found(steering, acts), _gaps(steering), *_beside(steering)),
        tables={
            "acts": acts,
            "outputs": _outputs(steering),
            "tried": _quoted(steering.tried.sort("works", "measured", descending=True), "output").rename(
                {"what": "combination"}
            ),
            "side effects": _quoted(effects, "before", "after"),
        },
        highlight=induced(steering.graph, rows),
        code=_code(steering),
        captions=CAPTIONS,
        meta=_meta(steering),
    )


def command(steering: Steering, run: str) -> str:
    """Gives the command that does the same to a run."""
    words = []
    for node, done in steering.intervention.nodes.items():
        option = "set" if done.scale == 0 else "scale" if done.offset == 0 else "add"
        words += [f"--{option}", f"{node}={done.offset if option != 'scale' else done.scale:.6g}"]
    return shlex.join(["circuits", "intervene", run, *words])


def _question(steering: Steering) -> str:
    instead = "the output" if steering.over is None else f"likelier than {quoted(steering.over)}"
    return f"What makes {quoted(steering.toward)} {instead}?"


def _found(steering: Steering, acts: pl.DataFrame) -> tuple[str, ...]:
    budget, strongest = steering.budget.features, plain(steering.budget.strongest)
    limits = f"{_counted(budget)} at most, each off, or at up to {strongest} times its activation"
    if steering.ground.typical:
        limits += ", or turned on to what is usual for it"
    places = {row["node"]: row for row in acts.iter_rows(named=True)}
    said = listing(
        f"feature {node.partition('@')[0]} at {places[node]['place']}{_label(places[node]['label'])}"
        f" {_doing(done)}"
        for node, done in steering.intervention.nodes.items()
    )
    if steering.works:
        share = percent(steering.strength)
        least = "" if steering.strength >= 1 else f" ({share} of the full strength is enough)"
        size = _counted(len(steering.intervention.nodes))
        return (f"Acting on {size} is enough: {said}{least}.", f"Searched: {limits}.")
    return (
        f"Nothing found does it on the model. Searched: {limits}; {len(steering.tried)} candidates tried.",
        f"What came nearest: {said}.",
        "A larger --budget or --strongest may do it, or --over, which asks for less than all outputs.",
    )


def _gaps(steering: Steering) -> str:
    rival = "any other output" if steering.over is None else quoted(steering.over)
    if steering.works and steering.predicted <= 0:
        verdict = " So the graph did not foresee that it works."
    elif not steering.works and steering.predicted > 0:
        verdict = " So the graph foresaw what the model does not do."
    else:
        verdict = ""
    return (
        f"The logit of {quoted(steering.toward)} less that of {rival}: {signed(steering.gap_before)} with"
        f" nothing done. The graph predicts {signed(steering.predicted)}; measured on the model it is"
        f" {signed(steering.frozen)} with patterns, norms and MLPs held, and {signed(steering.free)} with"
        f" nothing held.{verdict}"
    )


def _beside(steering: Steering) -> tuple[str, ...]:
    effects = steering.side_effects
    changed = int((effects["before"] != effects["after"]).sum())
    kl, staying = (effects[name].to_numpy() for name in ("kl", "kl_everywhere"))
    mean, most, always = (plain(float(value)) for value in (kl.mean(), kl.max(), staying.mean()))
    told = (
        f"Side effects: on {len(effects)} other texts the next token moves by KL {mean} nats on average"
        f" ({most} at most) and is another one on {changed}; done at every position, by {always} on average."
        " On this prompt, old and new output left out, the other tokens move by KL"
        f" {plain(steering.others_kl)}."
    )
    return (told,)


def _acts(steering: Steering) -> pl.DataFrame:
    graph, naming = steering.graph, Naming.of(steering.graph)
    rows = []
    for node, done in steering.intervention.nodes.items():
        now = float(graph.nodes["activation"][graph.row(node)]) + 0.0  # −0 as 0
        place = naming.token(graph.nodes["pos"][graph.row(node)])
        label = steering.labels.get(node)
        rows.append((node, place, _doing(done), now, done.scale * now + done.offset, label))
    schema = {
        "node": pl.String(),
        "place": pl.String(),
        "done": pl.String(),
        "activation": pl.Float64(),
        "becomes": pl.Float64(),
        "label": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _outputs(steering: Steering) -> pl.DataFrame:
    top = steering.outcome.top(5).select("token", "before", "after", "change")
    return _quoted(top, "token")


def _quoted(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    return table.with_columns(
        pl.Series(name, [quoted(text) for text in table[name]], dtype=pl.String) for name in columns
    )


def _doing(done: Affine) -> str:
    if done.scale == 0:
        return "off" if done.offset == 0 else f"set to {plain(done.offset)}"
    return f"times {plain(done.scale)}" if done.offset == 0 else f"turned on by {plain(done.offset)}"


def _label(label: str | None) -> str:
    return f" [{label}]" if label else ""


def _counted(count: int) -> str:
    return f"{count} feature{'' if count == 1 else 's'}"


def _code(steering: Steering) -> str:
    run = str(steering.session.graph.meta.get("run") or "run")
    asked = [f"{steering.toward!r}", f"budget={steering.budget.features}"]
    asked += [] if steering.over is None else [f"over={steering.over!r}"]
    parts = ", ".join(
        f"{node!r}: Affine({done.scale:.6g}, {done.offset:.6g})"
        for node, done in steering.intervention.nodes.items()
    )
    meta = steering.graph.meta
    model, dictionary = (str((meta.get(part) or {}).get("spec")) for part in ("model", "dictionary"))
    return "\n".join(
        [
            "import circuits",
            "from circuits.graph.actions import Affine",
            "",
            f"model = circuits.load_model({model!r})",
            f"dictionary = circuits.load_dictionary({dictionary!r}, model)",
            f"session = circuits.Session.of(model, dictionary, circuits.load_run({run!r}))",
            f"print(circuits.steer(session, {', '.join(asked)}))",
            "# or only what was found:",
            f"found = circuits.Intervention('found', {{{parts}}})",
            "print(session.run([found]).top())",
        ]
    )


def _meta(steering: Steering) -> dict[str, object]:
    effects = steering.side_effects
    return {
        "query": "steer",
        "asked": {
            "toward": steering.toward,
            "over": steering.over,
            "budget": steering.budget.features,
            "strongest": steering.budget.strongest,
        },
        "works": steering.works,
        "intervention": {
            node: {"scale": done.scale, "offset": done.offset}
            for node, done in steering.intervention.nodes.items()
        },
        "strength": steering.strength,
        "gap": {
            "before": steering.gap_before,
            "predicted": steering.predicted,
            "measured_frozen": steering.frozen,
            "measured_free": steering.free,
        },
        "side_effects": {
            "texts": len(effects),
            "kl": effects["kl"].mean(),
            "kl_everywhere": effects["kl_everywhere"].mean(),
            "kl_other_outputs": steering.others_kl,
        },
        "target": steering.ground.wanted,
    }
