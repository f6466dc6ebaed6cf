"""What a query can read: tables, views and macros, each with its meaning, said once for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from circuits.graph.influence import CONSTANTS

NAME_TYPE: Final = "node_name"
"""An ENUM over the names of the nodes: 2 bytes an end of an edge, compared and written as text."""


@dataclass(frozen=True)
class Table:
    """A table or view: what a row is, and what each column means."""

    row: str
    columns: Mapping[str, str]
    view: str | None = None


@dataclass(frozen=True)
class Macro:
    """A table macro: its parameters (with defaults), what it gives, an example, its SQL."""

    parameters: str
    gives: str
    example: str
    sql: str


_CONSTANT_KINDS: Final = ", ".join(f"'{kind}'" for kind in CONSTANTS)

TABLES: Final[Mapping[str, Table]] = {
    "nodes": Table(
        "a node, in topological order",
        {
            "node": "name: 12/4051@7 a feature, tok@3 a word, err12@7 what a dictionary left, logit:Paris",
            "kind": "feature, token, position, error, bias, rest or logit",
            "layer": "null where a node has none",
            "pos": "position of the token, the first being 0; null where a node sums over positions",
            "feature": "id in the dictionary; null unless kind is feature",
            "activation": "on this prompt; of a logit its value",
            "pre_activation": "what the incoming weights sum to",
            "threshold": "above which a jumprelu or top-k feature is on",
            "gate": "how the activation follows from the pre-activation",
            "expanded": "whether the incoming edges were computed",
            "truncated": "sum of |weight| of incoming edges too small to be kept",
            "target_weight": "the weight of a target in influence; 0 for all else",
            "influence": "share of the targets that is reached through this node",
            "concept": "the concept it belongs to, if any",
            "label": "what it stands for; with → in front, the tokens it promotes, untested",
            "inflow": "sum of |weight| of the incoming edges but from constants, and truncated",
        },
    ),
    "edges": Table(
        "an edge",
        {
            "source": "node it comes from",
            "target": "node it goes to",
            "weight": "signed contribution of the source to the target's pre-activation",
            "strength": "weight per unit of the source's activation",
        },
    ),
    "shares": Table(
        "an edge that is not from a constant, normalised",
        {
            "source": "node it comes from",
            "target": "node it goes to",
            "share": "|weight| / inflow of the target: how much of the target's input it is",
            "weight": "as in edges",
        },
        "SELECT e.source, e.target, abs(e.weight::DOUBLE) / t.inflow AS share, e.weight FROM edges e"  # noqa: S608
        " JOIN nodes s ON s.node = e.source JOIN nodes t ON t.node = e.target"
        f" WHERE s.kind NOT IN ({_CONSTANT_KINDS}) AND e.weight <> 0",
    ),
    "hyperedges": Table(
        "an interaction: what its members contribute together beyond what its subsets do",
        {
            "hyperedge": "id",
            "members": "list of nodes, concepts or heads",
            "target": "the node it acts on",
            "order": 'how many members (quote it: "order")',
            "index": 'which definition: SII, STII, Moebius, … (quote it: "index")',
            "weight": "the interaction",
            "low": "lower end of the interval around it",
            "high": "upper end of the interval around it",
            "effect": "worth with all on, less the worth without the members",
            "gate": "and, or, inhibit, xor, additive or other",
            "channel": "mlp, qk or output",
            "via": "the node or head through which this share of it runs; null: the whole of it",
            "engine": "how it was computed",
            "estimated": "whether it was sampled",
            "evaluations": "how many coalitions it took",
        },
    ),
    "members": Table(
        "a member of an interaction",
        {"hyperedge": "id of the interaction", "member": "node, concept or head"},
        "SELECT h.hyperedge, unnest(h.members) AS member FROM hyperedges h",
    ),
    "heads": Table(
        "what of an edge runs through a head; the rows of an edge sum to its weight",
        {
            "source": "node the edge comes from",
            "target": "node the edge goes to",
            "via": "head:5.3; none: past all heads; other: what the other rows lack",
            "layer": "of the head; null where via is none",
            "head": "number of the head in its layer",
            "weight": "what of the edge's weight is lost without the head",
        },
    ),
    "verdicts": Table(
        "a prediction tried on the model",
        {
            "verdict": "id",
            "claim": "what the graph predicts, in words",
            "kind": "node, pair, set, path, edge, concept or circuit",
            "members": "list of what was acted on",
            "actions": "list of what was done, as written: 12/4051@7=0",
            "target": "the node predicted",
            "order": '1: a change; 2 and more: beyond what the subsets do (quote it: "order")',
            "layers": "how far the effect travels",
            "held": "what was held still in the model",
            "before": "the target's value with nothing done",
            "predicted": "by the graph",
            "measured": "on the model",
            "tolerance": "largest |measured - predicted| at which the claim holds",
            "holds": "whether it does",
            "forced": "measured on a model that is not the run's",
        },
    ),
    "tokens": Table("a token of the prompt", {"pos": "position, the first being 0", "token": "its text"}),
}

MACROS: Final[Mapping[str, Macro]] = {
    "inputs_of": Macro(
        "node",
        "the edges into a node, strongest first, with the sources' kinds and labels and their shares",
        "FROM inputs_of('{target}') LIMIT 10",
        "SELECT e.source, s.kind, s.layer, s.pos, e.weight, e.strength,"  # noqa: S608
        f" CASE WHEN s.kind NOT IN ({_CONSTANT_KINDS}) AND t.inflow > 0"
        " THEN abs(e.weight::DOUBLE) / t.inflow END AS share, s.label"
        " FROM edges e JOIN nodes s ON s.node = e.source JOIN nodes t ON t.node = e.target"
        " WHERE e.target = node ORDER BY abs(e.weight) DESC, e.source",
    ),
    "outputs_of": Macro(
        "node",
        "the edges out of a node, strongest first; share is of the target's input",
        "FROM outputs_of('{source}') LIMIT 10",
        "SELECT e.target, t.kind, t.layer, t.pos, e.weight, e.strength,"  # noqa: S608
        f" CASE WHEN s.kind NOT IN ({_CONSTANT_KINDS}) AND t.inflow > 0"
        " THEN abs(e.weight::DOUBLE) / t.inflow END AS share, t.label"
        " FROM edges e JOIN nodes s ON s.node = e.source JOIN nodes t ON t.node = e.target"
        " WHERE e.source = node ORDER BY abs(e.weight) DESC, e.target",
    ),
    "neighbours": Macro(
        "node, hops := 1",
        "the nodes at most so many edges up- or downstream; distance is negative upstream",
        "SELECT distance, count(*) FROM neighbours('{source}', 2) GROUP BY ALL ORDER BY ALL",
        "WITH RECURSIVE up(node, hop) USING KEY (node) AS ("
        " SELECT n.node, 0 FROM nodes n WHERE n.node = node UNION"
        " SELECT e.source, min(u.hop) + 1 FROM up u JOIN edges e ON e.target = u.node"
        " LEFT JOIN recurring.up r ON r.node = e.source WHERE r.node IS NULL AND u.hop < hops"
        " GROUP BY e.source),"
        " down(node, hop) USING KEY (node) AS ("
        " SELECT n.node, 0 FROM nodes n WHERE n.node = node UNION"
        " SELECT e.target, min(d.hop) + 1 FROM down d JOIN edges e ON e.source = d.node"
        " LEFT JOIN recurring.down r ON r.node = e.target WHERE r.node IS NULL AND d.hop < hops"
        " GROUP BY e.target),"
        " near AS (SELECT u.node, -u.hop AS distance FROM up u WHERE u.hop > 0"
        " UNION ALL SELECT d.node, d.hop FROM down d WHERE d.hop > 0)"
        " SELECT b.node, b.distance, n.kind, n.layer, n.pos, n.label FROM near b"
        " JOIN nodes n ON n.node = b.node ORDER BY b.distance, b.node",
    ),
    "best_path": Macro(
        "source, target",
        "the strongest path between two nodes, one row a node: weight and share are of the edge to the"
        " next row, path_share is the product of all shares",
        "FROM best_path('{token}', '{target}')",
        "WITH RECURSIVE best(node, cost, next) USING KEY (node) AS ("  # noqa: S608
        f" SELECT n.node, 0.0::DOUBLE, NULL::{NAME_TYPE} FROM nodes n WHERE n.node = target UNION"
        " SELECT e.source, min(b.cost - ln(e.share)), arg_min(b.node, b.cost - ln(e.share))"
        " FROM best b JOIN shares e ON e.target = b.node LEFT JOIN recurring.best r ON r.node = e.source"
        " WHERE b.cost - ln(e.share) < coalesce(r.cost, 'inf'::DOUBLE) GROUP BY e.source),"
        " walk(step, node, next, cost) AS ("
        " SELECT 1, b.node, b.next, b.cost FROM best b WHERE b.node = source AND b.next IS NOT NULL"
        " UNION ALL SELECT w.step + 1, b.node, b.next, w.cost FROM walk w JOIN best b ON b.node = w.next)"
        " SELECT w.step, w.node, n.kind, n.layer, n.pos, e.weight, e.share, exp(-w.cost) AS path_share,"
        " n.label FROM walk w JOIN nodes n ON n.node = w.node"
        " LEFT JOIN shares e ON e.source = w.node AND e.target = w.next ORDER BY w.step",
    ),
    "layer_sums": Macro(
        "target",
        "what reaches a node from each kind and layer: the sum of weights, up and down apart, the share",
        "FROM layer_sums('{target}')",
        "SELECT i.kind, i.layer, sum(i.weight::DOUBLE) AS weight,"
        " coalesce(sum(i.weight::DOUBLE) FILTER (i.weight > 0), 0) AS up,"
        " coalesce(sum(i.weight::DOUBLE) FILTER (i.weight < 0), 0) AS down,"
        " sum(i.share) AS share, count(*) AS edges FROM inputs_of(target) i"
        " GROUP BY i.kind, i.layer ORDER BY i.layer NULLS FIRST, i.kind",
    ),
    "by_position": Macro(
        "target",
        "what reaches a node from each position: the sum of weights, up and down apart, the share",
        "FROM by_position('{target}')",
        "SELECT i.pos, k.token, sum(i.weight::DOUBLE) AS weight,"
        " coalesce(sum(i.weight::DOUBLE) FILTER (i.weight > 0), 0) AS up,"
        " coalesce(sum(i.weight::DOUBLE) FILTER (i.weight < 0), 0) AS down,"
        " sum(i.share) AS share, count(*) AS edges FROM inputs_of(target) i"
        " LEFT JOIN tokens k ON k.pos = i.pos GROUP BY i.pos, k.token ORDER BY i.pos NULLS LAST",
    ),
    "combinations_of": Macro(
        "node",
        "the interactions a node is a member or the target of, strongest first",
        "FROM combinations_of('{target}') LIMIT 10",
        "SELECT h.* FROM hyperedges h WHERE h.target = node::VARCHAR"
        " OR list_contains(h.members, node::VARCHAR) ORDER BY abs(h.weight) DESC, h.hyperedge",
    ),
}


def statements() -> list[str]:
    """Gives the SQL that makes the views and macros, in an order in which each finds what it uses."""
    views = [f"CREATE VIEW {name} AS {table.view}" for name, table in TABLES.items() if table.view]
    macros = [f"CREATE MACRO {name}({m.parameters}) AS TABLE {m.sql}" for name, m in MACROS.items()]
    return views + macros
