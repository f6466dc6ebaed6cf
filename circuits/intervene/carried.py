"""How much of the answer the most influential features carry by themselves: the curve beside the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from circuits.intervene.faithfulness import Ablation, Curve, faithfulness
from circuits.intervene.hold import FREE, FROZEN
from circuits.intervene.measuring import Measuring, Progress
from circuits.query.subject import Subject
from circuits.query.text import percent, plain

CAPTION: Final = (
    "The first features by influence, all other features off (set to 0; words and errors stay): what they"
    " carry of what all features do, f(C) = (m(C) − m(none)) / (m(all) − m(none)), and what is left when they"
    " alone are off, f(without C). m is the target's value on the model, frozen (all but the run's features"
    " held) or free (nothing held). Below 0 or above 1: the rest pulls the other way."
)

TOLD: Final = 0.1
"""The share of the features of which a sentence tells."""


def carried(session: Measuring, target: str, progress: Progress | None = None) -> dict[str, Any]:
    """Gives the curves of the features by influence on the target, as a run's `meta` keeps them.

    Args:
        session: measures.
        target: one of the graph's targets.
        progress: told of what is measured.

    Returns:
        JSON-compatible: ranking, ablation, members, shares, sizes, and for "frozen" and "free" the
        faithfulness, completeness, CPR and CMD; nothing where there is no feature.
    """
    subject = Subject.of(session.graph, target)
    features = subject.graph.nodes.filter((pl.col("kind") == "feature") & (pl.col("node") != target))
    if not len(features):
        return {}
    ranked = features.sort("influence", descending=True, maintain_order=True)["node"].to_list()
    found = {}
    for name, hold in (("frozen", FROZEN), ("free", FREE)):
        made = faithfulness(
            session, {"influence": ranked}, target, ablation=Ablation(hold=hold), progress=progress
        )
        found[name] = made["influence"]
    curve = found["free"]
    return {
        "ranking": "influence",
        "ablation": curve.ablation.name,
        "members": curve.members,
        "shares": list(curve.shares),
        "sizes": curve.sizes.tolist(),
        **{name: _kept(made) for name, made in found.items()},
    }


def _kept(curve: Curve) -> dict[str, Any]:
    if curve.whole == curve.empty:
        return {"faithfulness": [], "completeness": [], "cpr": None, "cmd": None}
    return {
        "faithfulness": curve.faithfulness.tolist(),
        "completeness": curve.completeness.tolist(),
        "cpr": curve.areas.cpr,
        "cmd": curve.areas.cmd,
    }


def carried_table(told: Mapping[str, Any]) -> pl.DataFrame:
    """Gives the curves as a table: share, features, f(C) and f(without C), frozen and free; no size twice."""
    if not told or not told["free"]["faithfulness"] or not told["frozen"]["faithfulness"]:
        return pl.DataFrame()
    columns = {
        f"{what} {name}": told[name][curve]
        for what, curve in (("f(C)", "faithfulness"), ("f(without C)", "completeness"))
        for name in ("frozen", "free")
    }
    table = pl.DataFrame({"share": told["shares"], "features": told["sizes"], **columns})
    return table.unique("features", keep="first", maintain_order=True)


def carried_sentence(told: Mapping[str, Any]) -> str:
    """Gives what the first features carry on the model with nothing held, and the areas."""
    free = (told or {}).get("free") or {}
    if not free.get("faithfulness"):
        return ""
    at = min(range(len(told["shares"])), key=lambda i: abs(told["shares"][i] - TOLD))
    return (
        f"The {told['sizes'][at]:,} most influential of the {told['members']:,} features carry"
        f" {percent(free['faithfulness'][at])} of what all of them do, the others being off and nothing held;"
        f" without them {percent(free['completeness'][at])} is left (CPR {plain(free['cpr'])}, CMD"
        f" {plain(free['cmd'])}; 1 and 0 would be a model that a few features explain)."
    )
