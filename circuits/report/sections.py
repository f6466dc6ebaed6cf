"""What is told of a graph itself: what nodes are, what the numbers mean, how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.facts import facts as facts  # a section as it stands
from circuits.query.text import Naming, percent, plain


def tips(graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Gives, by gid, what is shown on pointing at a node of the picture.

    Args:
        graph: the graph.
        names: of the nodes that are drawn.
    """
    naming = Naming.of(graph)
    drawn = graph.nodes.filter(pl.col("node").is_in(list(names)))
    tested = graph.meta.get("tested_labels") or {}
    told = {}
    for row in drawn.iter_rows(named=True):
        text = f"{row['node']}: {naming.phrase(row['node'])}"
        held = tested.get(str(row["node"]).partition("@")[0])
        if held:
            text += (
                f"\nlabel, held out: precision {percent(held['precision'])}, recall {percent(held['recall'])}"
            )
        if row["kind"] == "feature" and row["activation"] is not None:
            text += f"\nactivation {plain(row['activation'])}"
        if not row["target_weight"] and row["influence"] is not None:
            text += f"\ninfluence {percent(row['influence'])}"
        told[f"node:{row['node']}"] = told[f"label:{row['node']}"] = text
    return told


def alternative(answer: Answer) -> str:
    """Gives the picture in a sentence."""
    return "Network of the most influential nodes, tokens from left to right and layers upwards. " + (
        answer.finding[0] if answer.finding else ""
    )


def method(graph: Graph) -> list[tuple[str, str]]:
    """Gives what the numbers mean and how they were made: term and explanation."""
    meta = graph.meta
    found = [
        (
            "Edge weight",
            (
                "The signed contribution of the source, at its activation on this prompt, to the target's"
                " pre-activation (for an output: its logit, less the mean logit), everything else frozen."
                " The weights into a node, constants included, add up to its pre-activation."
            ),
        ),
        (
            "Frozen",
            (
                "Attention patterns and normalisation scales are held at their values on this prompt; what is"
                " left between features is linear. What decides where attention looks is therefore not in"
                f" this graph{_but_scores(graph)}."
            ),
        ),
        (
            "Influence",
            (
                "The share of the target reached through a node along all paths, without sign: the sum over"
                " paths of the products of |weight| / Σ|weight|, constants aside (Ameisen et al. 2025)."
            ),
        ),
        ("Features", _features(meta)),
        (
            "Errors",
            (
                "An error node is the part of an MLP's output, at one layer and position, that no kept"
                " feature accounts for. It acts like any source; what it is made of is unknown."
            ),
        ),
    ]
    if "format" in (imported := meta.get("imported") or {}):
        lacks = f" What it does not hold: {imported['unknown']}." if imported.get("unknown") else ""
        text = (
            f"This graph was made by another program and read from its file {imported.get('file', '')}"
            f" ({imported['format']}); weights are as they stand there, influence and scores were computed"
            f" here.{lacks}"
        )
        found.append(("Imported", text))
    if meta.get("labels"):
        found.append(("Labels", f"{str(meta['labels'])[:1].upper()}{str(meta['labels'])[1:]}."))
    if meta.get("softcap"):
        found.append(("Softcap", str(meta["softcap"])))
    return found


def _but_scores(graph: Graph) -> str:
    """Gives what else is to be said where interactions tell of attention scores."""
    return ", but for the combinations in attention" if "qk" in graph.hyperedges["channel"] else ""


def _features(meta: Mapping[str, Any]) -> str:
    kind = str((meta.get("dictionary") or {}).get("kind") or "")
    chosen = meta.get("selection") or {}
    text = f"The dictionary is of the kind “{kind}”. " if kind else ""
    if kind == "neurons":
        text = "Features are the model's own MLP neurons. "
    if isinstance(chosen, Mapping) and {"kept", "active"} <= set(chosen):
        text += f"Of {chosen['active']:,} active on this prompt, {chosen['kept']:,} were kept"
        name = {"ByAttribution": "those that matter most to the targets", "AllActive": "all that are active"}
        how = name.get(str(chosen.get("name")), str(chosen.get("name") or ""))
        text += (
            f" ({how}); the others are in the error nodes." if how else "; the others are in the error nodes."
        )
    elif chosen:
        text += f"Selection: {json.dumps(chosen, ensure_ascii=False, default=str)}."
    return text or "How features were chosen is not recorded in this graph."


def commands(graph: Graph) -> list[str]:
    """Gives the commands that made a run as it is, in their order: attribute, interact, group, verify."""
    meta = graph.meta
    verified = meta.get("verified")
    tried = list(verified.values()) if isinstance(verified, Mapping) else []
    steps = [meta, *(meta.get(name) for name in ("interact", "group")), *tried]
    found = [str(step["command"]) for step in steps if isinstance(step, Mapping) and step.get("command")]
    return list(dict.fromkeys(found))
