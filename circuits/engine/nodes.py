"""The nodes of a trace: their names, their order, and where each stands in that order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Int

from circuits.schema import NODE_SCHEMA, feature_name
from circuits.trace import Trace

Rows = Int[np.ndarray, "..."]


@dataclass(frozen=True)
class NodeMap:
    """Rows of the node table, by what stands there. -1 where a trace has no such node.

    The order is topological: tokens, positions, `bias:own`, `rest`, then layer by layer the
    constants of attention, features, errors and the constants of the MLP, then the targets.

    Attributes:
        token: row of each position's token node, n.
        position: row of each positional embedding, n (all -1 without them).
        own: row of `bias:own`.
        rest: row of `rest`.
        attention_bias: row of each layer's `bias:attn`, L; it also stands for what a held MLP's
            biases write before features on the stream.
        mlp_bias: row of each layer's `bias:mlp`, L.
        error: row of each error node, L n.
        feature: row of each feature of the trace, F.
        target: row of each target of the trace, T; a feature target's is that feature's row.
        size: the number of nodes.
    """

    token: Rows
    position: Rows
    own: int
    rest: int
    attention_bias: Rows
    mlp_bias: Rows
    error: Rows
    feature: Rows
    target: Rows
    size: int

    @classmethod
    def of(cls, trace: Trace) -> NodeMap:
        """Gives the rows of all nodes of a trace."""
        n, layers, features = trace.n_positions, trace.n_layers, trace.features
        attention_constant = (trace.attention is not None and trace.attention.constant is not None) or (
            trace.passing is not None and trace.passing.constant is not None
        )
        token = np.arange(n)
        position = np.arange(n, 2 * n) if trace.position_embedding is not None else np.full(n, -1)
        own = int(max(token.max(), position.max())) + 1
        at = own + 2
        attention_bias, mlp_bias = np.full(layers, -1), np.full(layers, -1)
        error, feature = np.full((layers, n), -1), np.full(len(features), -1)
        for layer in range(layers):
            if attention_constant:
                attention_bias[layer], at = at, at + 1
            here = np.flatnonzero(features.layer == layer)
            feature[here] = at + np.arange(len(here))
            at += len(here)
            if trace.mlp.error is not None:
                error[layer] = at + np.arange(n)
                at += n
            if trace.mlp.constant is not None:
                mlp_bias[layer], at = at, at + 1
        is_logit = trace.targets.feature < 0
        target = np.where(is_logit, at + np.cumsum(is_logit) - 1, feature[trace.targets.feature])
        return cls(
            token=token,
            position=position,
            own=own,
            rest=own + 1,
            attention_bias=attention_bias,
            mlp_bias=mlp_bias,
            error=error,
            feature=feature,
            target=target,
            size=at + int(is_logit.sum()),
        )

    @cached_property
    def features_of_rows(self) -> Rows:
        """Gives the feature of the trace at each row of the node table, -1 where there is none."""
        back = np.full(self.size, -1)
        back[self.feature] = np.arange(len(self.feature))
        return back


def node_table(trace: Trace, where: NodeMap) -> pl.DataFrame:
    """Gives the node table of a trace before attribution: nothing expanded, no influence.

    Args:
        trace: gives features, targets and labels.
        where: its `NodeMap`.
    """
    size = where.size
    columns = {
        "node": np.empty(size, dtype=object),
        "kind": np.full(size, "bias", dtype=object),
        "layer": np.full(size, -1),
        "pos": np.full(size, -1),
        "feature": np.full(size, -1),
        "activation": np.ones(size),
        "pre_activation": np.full(size, np.nan),
        "threshold": np.full(size, np.nan),
        "gate": np.full(size, None, dtype=object),
        "target_weight": np.zeros(size),
    }
    _fill_constants(columns, where)
    _fill_features(columns, trace, where)
    _fill_targets(columns, trace, where)
    return pl.DataFrame(
        {
            **{name: columns[name].tolist() for name in ("node", "kind", "gate")},
            **{name: _nullable(columns[name]) for name in ("layer", "pos", "feature")},
            **{name: columns[name] for name in ("activation", "target_weight")},
            **{name: pl.Series(columns[name]).fill_nan(None) for name in ("pre_activation", "threshold")},
            "expanded": np.zeros(size, dtype=bool),
            "truncated": np.zeros(size),
            "influence": pl.Series([None] * size, dtype=pl.Float64),
            "concept": pl.Series([None] * size, dtype=pl.String),
            "label": [trace.labels.get(name) for name in columns["node"]],
        },
        schema_overrides=NODE_SCHEMA,
    ).select(*NODE_SCHEMA)


Columns = dict[str, np.ndarray]


def _fill_constants(columns: Columns, where: NodeMap) -> None:
    """Fills in what does not depend on other nodes: embeddings, errors, biases, `rest`."""
    names, kind, layer, pos = (columns[name] for name in ("node", "kind", "layer", "pos"))
    for prefix, rows, kind_name in (("tok", where.token, "token"), ("pos", where.position, "position")):
        for p, row in enumerate(rows):
            if row >= 0:
                names[row], kind[row], pos[row] = f"{prefix}@{p}", kind_name, p
    names[where.own], names[where.rest], kind[where.rest] = "bias:own", "rest", "rest"
    for at, errors in enumerate(where.error):
        for prefix, row in (("attn", where.attention_bias[at]), ("mlp", where.mlp_bias[at])):
            if row >= 0:
                names[row], layer[row] = f"bias:{prefix}{at}", at
        for p, row in enumerate(errors):
            if row >= 0:
                names[row], kind[row], layer[row], pos[row] = f"err{at}@{p}", "error", at, p


def _fill_features(columns: Columns, trace: Trace, where: NodeMap) -> None:
    features, rows = trace.features, where.feature
    places = zip(features.layer.tolist(), features.id.tolist(), features.position.tolist(), strict=True)
    gates = np.array(features.gates, dtype=object)[features.gate]
    thresholded = np.isin(gates.astype(str), ("jumprelu", "topk", "abstopk"))
    values = {
        "node": [feature_name(*place) for place in places],
        "kind": "feature",
        "layer": features.layer,
        "pos": features.position,
        "feature": features.id,
        "activation": features.activation,
        "pre_activation": features.pre_activation,
        "threshold": np.where(thresholded, features.threshold, np.nan),
        "gate": gates,
    }
    for name, value in values.items():
        columns[name][rows] = value


def _fill_targets(columns: Columns, trace: Trace, where: NodeMap) -> None:
    targets = trace.targets
    for t, row in enumerate(where.target):
        columns["target_weight"][row] += targets.weight[t]
        if targets.feature[t] < 0:
            columns["node"][row], columns["kind"][row] = targets.names[t], "logit"
            columns["pos"][row] = targets.position[t]
            columns["activation"][row] = columns["pre_activation"][row] = targets.value[t]


def _nullable(values: Rows) -> pl.Series:
    return pl.Series([None if v < 0 else int(v) for v in values], dtype=pl.Int32)
