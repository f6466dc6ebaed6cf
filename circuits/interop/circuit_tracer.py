"""circuit-tracer's own graphs: what its `Graph.to_pt` saved, of its first release and of those since.

::

    adjacency_matrix    (n, n): the effect of each node (column) on each other (row), at its activation
    active_features     (a, 3): layer, position, feature
    selected_features   (f,): which of them are nodes
    activation_values   (a,) or (f,)
    input_tokens        (t,): the prompt's tokens; input_string, its text
    logit_targets       (k,): token and number of each output; first release: logit_tokens, numbers alone
    logit_probabilities (k,)
    cfg                 settings of the model: n_layers …
    scan                which transcoders

Nodes are in the order features, errors (layer by layer, position by position), words, outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import InvalidFile
from circuits.graph.graph import Graph
from circuits.graph.influence import with_influence
from circuits.interop.archive import Archive, Record, Tensor
from circuits.interop.document import UNKNOWN, per_unit
from circuits.schema import NODE_SCHEMA, feature_name

NEEDED: Final = (
    *("adjacency_matrix", "active_features", "selected_features", "activation_values"),
    *("input_tokens", "input_string", "logit_probabilities", "cfg"),
)


@dataclass(frozen=True)
class _Parts:
    """What a file holds, as arrays."""

    matrix: Float[np.ndarray, "n n"]
    features: Int[np.ndarray, "f 3"]
    activations: Float[np.ndarray, "f"]
    tokens: Int[np.ndarray, "t"]
    text: str
    outputs: list[tuple[str, int]]
    chances: Float[np.ndarray, "k"]
    layers: int
    model: str
    scan: Any

    @property
    def size(self) -> int:
        return len(self.features) + (self.layers + 1) * len(self.tokens) + len(self.outputs)


def graph_of_pt(path: Path) -> Graph:
    """Gives the graph of a .pt file, weights as they are; influence is computed anew.

    Raises:
        InvalidFile: it is no such graph, wants to call something, is damaged, or holds NaN or a cycle.
    """
    with Archive(path) as archive:
        saved = archive.contents()
        if not isinstance(saved, dict) or not set(NEEDED) <= saved.keys():
            lacks = ", ".join(name for name in NEEDED if not isinstance(saved, dict) or name not in saved)
            raise InvalidFile(f"{path} is no graph of circuit-tracer: it lacks {lacks}.")
        parts = _parts(archive, saved, path)
    _check(parts, path)
    rows = _rows(parts)
    depth = np.array([row["band"] for row in rows])
    order = np.lexsort((np.arange(len(rows)), depth))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows))
    target, source = np.nonzero(parts.matrix)
    weights = parts.matrix[target, source]
    back = np.flatnonzero(place[source] >= place[target])
    if len(back):
        one, other = (rows[int(ends[back[0]])]["node"] for ends in (source, target))
        raise InvalidFile(
            f"{path}: adjacency_matrix has an effect of {one} on {other}, which comes before it."
        )
    receiving = np.bincount(target, minlength=len(rows)) > 0
    for row, open_ in zip(rows, receiving, strict=True):
        row["expanded"] = row["kind"] == "logit" or (row["kind"] == "feature" and bool(open_))
    table = pl.DataFrame([rows[int(at)] for at in order], schema=NODE_SCHEMA)
    ends = (place[source].astype(np.int32), place[target].astype(np.int32))
    values = (weights, per_unit(table, ends[0], weights))
    return with_influence(Graph.of(table, ends, values, _meta(parts, rows, path)))


def _parts(archive: Archive, saved: Mapping[str, Any], path: Path) -> _Parts:
    def array(name: str) -> np.ndarray:
        return archive.array(saved[name], name)

    active, selected, values = (
        array(name) for name in ("active_features", "selected_features", "activation_values")
    )
    if active.ndim != 2 or active.shape[1] != 3 or selected.ndim != 1 or values.ndim != 1:
        raise InvalidFile(f"{path}: active_features has shape {active.shape} instead of (features, 3).")
    if len(selected) and not (selected.min() >= 0 and selected.max() < len(active)):
        raise InvalidFile(f"{path}: selected_features names a feature beyond the {len(active)} active ones.")
    values = values[selected] if len(values) == len(active) else values
    tokens = saved["input_tokens"]
    numbers = archive.array(tokens, "input_tokens") if isinstance(tokens, Tensor) else np.array(tokens)
    chances = array("logit_probabilities")
    return _Parts(
        matrix=array("adjacency_matrix").astype(np.float64),
        features=active[selected],
        activations=values.astype(np.float64),
        tokens=numbers.reshape(-1),
        text=_text(saved["input_string"]),
        outputs=_outputs(archive, saved, len(chances)),
        chances=chances.astype(np.float64),
        layers=_layers(saved["cfg"], path),
        model=_text(_setting(saved["cfg"], "model_name") or ""),
        scan=saved.get("scan"),
    )


def _check(parts: _Parts, path: Path) -> None:
    """Refuses parts that do not fit each other, and numbers that cannot be added."""
    shape, size = parts.matrix.shape, parts.size
    if shape != (size, size):
        raise InvalidFile(
            f"{path}: adjacency_matrix has shape {shape} instead of ({size}, {size}): {len(parts.features)}"
            f" features, {parts.layers} layers of {len(parts.tokens)} errors, {len(parts.tokens)} words,"
            f" {len(parts.outputs)} outputs."
        )
    if len(parts.activations) != len(parts.features):
        raise InvalidFile(
            f"{path}: {len(parts.activations)} activation_values of {len(parts.features)} features."
        )
    for name, values in (("adjacency_matrix", parts.matrix), ("activation_values", parts.activations)):
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            place = ", ".join(map(str, wrong[0].tolist()))
            raise InvalidFile(f"{path}: {name}[{place}] is {values[tuple(wrong[0])]}, no finite number.")
    if not np.isfinite(parts.chances).all():
        raise InvalidFile(f"{path}: logit_probabilities hold NaN or infinity.")
    layer, pos = parts.features[:, 0], parts.features[:, 1]
    if len(layer) and not (
        parts.features.min() >= 0 and layer.max() < parts.layers and pos.max() < len(parts.tokens)
    ):
        raise InvalidFile(
            f"{path}: active_features names a layer or position beyond {parts.layers} layers of"
            f" {len(parts.tokens)} words."
        )


def _rows(parts: _Parts) -> list[dict[str, Any]]:
    """Gives the rows of the node table in the file's order; `band` sorts them topologically."""
    base = {"activation": 1.0, "truncated": 0.0, "target_weight": 0.0}
    rows: list[dict[str, Any]] = []
    for (layer, pos, feature), value in zip(parts.features.tolist(), parts.activations.tolist(), strict=True):
        name = feature_name(layer, feature, pos)
        more = {"layer": layer, "pos": pos, "feature": feature, "activation": value, "band": 1 + 2 * layer}
        rows.append(base | {"node": name, "kind": "feature"} | more)
    for layer in range(parts.layers):
        for pos in range(len(parts.tokens)):
            more = {"layer": layer, "pos": pos, "band": 2 + 2 * layer}
            rows.append(base | {"node": f"err{layer}@{pos}", "kind": "error"} | more)
    rows += [
        base | {"node": f"tok@{p}", "kind": "token", "pos": p, "band": 0} for p in range(len(parts.tokens))
    ]
    last, used = len(parts.tokens) - 1, set[str]()
    for (token, number), chance in zip(parts.outputs, parts.chances.tolist(), strict=True):
        name = f"logit:{token.strip() or repr(token)}"
        name = f"{name}#{number}" if name in used else name
        used.add(name)
        more = {"activation": None, "pos": last, "target_weight": chance, "band": 3 + 2 * parts.layers}
        rows.append(base | {"node": name, "kind": "logit"} | more)
    return rows


def _meta(parts: _Parts, rows: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    outputs = rows[len(rows) - len(parts.outputs) :]
    targets = [
        {"name": row["node"], "tokens": [token], "token_ids": [number], "probability": chance}
        for row, (token, number), chance in zip(outputs, parts.outputs, parts.chances.tolist(), strict=True)
    ]
    words = "the file holds the prompt's tokens as numbers: they stand for the words"
    return {
        "prompt": {
            "text": parts.text,
            "ids": parts.tokens.tolist(),
            "tokens": [f"[{number}]" for number in parts.tokens.tolist()],
        },
        "targets": sorted(targets, key=lambda target: -float(target["probability"])),
        "model": {"name": parts.model or "unknown"},
        "dictionary": {"kind": "transcoder", "spec": _scan(parts.scan), "layers": list(range(parts.layers))},
        "n_tokens": len(parts.tokens),
        "imported": {
            "format": "circuit-tracer graph",
            "file": path.name,
            "by": "circuit-tracer",
            "unknown": UNKNOWN,
            "notes": [words],
        },
    }


def _scan(scan: Any) -> str:
    return ", ".join(map(str, scan)) if isinstance(scan, list) else str(scan or "unknown")


def _outputs(archive: Archive, saved: Mapping[str, Any], count: int) -> list[tuple[str, int]]:
    """Gives the outputs' tokens and numbers; a number stands for a token that was not saved."""
    listed = saved.get("logit_targets", saved.get("logit_tokens"))
    if isinstance(listed, Tensor):
        numbers = archive.array(listed, "logit_tokens").reshape(-1).tolist()
        pairs: list[tuple[Any, Any]] = [("", number) for number in numbers]
    else:
        pairs = [
            one.args if isinstance(one, Record) else one
            for one in (listed if isinstance(listed, list) else ())
        ]
    good = all(isinstance(p, tuple) and len(p) == 2 and isinstance(p[1], int) for p in pairs)
    if not good or len(pairs) != count:
        raise InvalidFile(f"{archive.path}: {count} logit_probabilities of {len(pairs)} outputs.")
    return [(str(token) if token != "" else f"[{number}]", number) for token, number in pairs]


def _setting(cfg: Any, name: str) -> Any:
    return cfg.get(name) if isinstance(cfg, Record | Mapping) else None


def _layers(cfg: Any, path: Path) -> int:
    """Gives the number of layers the settings say, under either of its names."""
    for name in ("n_layers", "num_hidden_layers"):
        number = _setting(cfg, name)
        if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10_000:
            return number
    raise InvalidFile(f"{path}: cfg says no number of layers.")


def _text(value: Any) -> str:
    """Gives a text; what was saved as something else, such as a list of chat messages, as it prints."""
    return value if isinstance(value, str) else "" if isinstance(value, Record) else str(value)
