"""Traces as safetensors files: the public contract that `circuits.trace` documents, kept and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from circuits.errors import CircuitsError, InvalidFile, NotFound
from circuits.files import atomic
from circuits.prompt import Prompt
from circuits.schema import TRACE_VERSION
from circuits.trace import Attention, Features, Gated, Mlp, Passing, Scores, Targets, Terms, Trace
from circuits.trace_check import KEYS, Arrays, check, check_names, check_shapes, read_header

_KINDS: Final = ("F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32")


def save_trace(trace: Trace, path: str | Path, *, overwrite: bool = False) -> None:
    """Gives nothing; writes the trace as one safetensors file, whole or not at all.

    Args:
        trace: what to write; checked first, so that no file is written that would not load.
        path: where; by custom it ends in `.safetensors`.
        overwrite: replace a file that stands there.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        InvalidFile: the trace breaks the contract of `circuits.trace`.
        WriteFailed: the file system refused; nothing is left behind.
    """
    check_trace(trace)
    arrays, header = flatten(trace)
    contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    try:
        metadata = {"circuits": json.dumps(header, ensure_ascii=False)}
    except TypeError as cause:
        raise InvalidFile(f"The trace's meta or labels cannot be written as JSON: {cause}.") from cause
    with atomic(Path(path), overwrite=overwrite) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as cause:  # it wraps the operating system's refusals
            raise OSError(str(cause)) from cause


def load_trace(path: str | Path) -> Trace:
    """Gives the trace of a file, keys left out filled with their defaults, features sorted.

    Args:
        path: a safetensors file in the format that `circuits.trace` documents.

    Raises:
        NotFound: there is no such file.
        InvalidFile: truncated, of an unknown version, or a key is missing, unknown, of a wrong shape,
            out of range or not finite; the message names all missing or unknown keys at once.
    """
    where = Path(path)
    if not where.is_file():
        raise NotFound(f"No trace file at {where}.")
    try:
        arrays, header = _read(where)
        check(arrays, header)
        return _build(arrays, header)
    except CircuitsError as cause:
        raise type(cause)(f"{where}: {cause}") from cause


def check_trace(trace: Trace) -> None:
    """Gives nothing; checks a trace against the contract of `circuits.trace`.

    Raises:
        InvalidFile: an array has a wrong shape or kind, an index out of range, NaN or infinity, two
            features at one place, attention to later positions, or an unknown gate.
    """
    check(*flatten(trace))
    if len(trace.mlp.read_scale) != trace.n_layers:
        raise InvalidFile(
            f"mlp.read_scale has {len(trace.mlp.read_scale)} rows but the trace {trace.n_layers} layers."
        )


def flatten(trace: Trace) -> tuple[Arrays, dict[str, Any]]:
    """Gives the arrays by the keys of the file, and the header's JSON object."""
    attention = vars(trace.attention) if trace.attention else {}
    passing = vars(trace.passing) if trace.passing else {}
    scores = vars(trace.scores) if trace.scores else {}
    gated = vars(trace.gated) if trace.gated else {}
    mlp = {f"mlp.{name}": value for name, value in vars(trace.mlp).items() if name != "error"}
    parts: dict[str, Any] = {
        "token_embedding": trace.token_embedding,
        "position_embedding": trace.position_embedding,
        **{f"attention.{name}": value for name, value in attention.items()},
        **{f"score.{name}": value for name, value in scores.items()},
        **mlp,
        "error": trace.mlp.error,
        **{f"passing.{name}": value for name, value in passing.items()},
        "stream": None if trace.stream is None else trace.stream.astype(np.uint8),
        "vectors": trace.vectors,
        **{f"feature.{name}": value for name, value in vars(trace.features).items()},
        **{f"read.{name}": value for name, value in vars(trace.reads).items() if name != "layer"},
        **{f"write.{name}": value for name, value in vars(trace.writes).items()},
        **{f"gated.{name}": value for name, value in gated.items()},
        **{f"target.{name}": value for name, value in vars(trace.targets).items()},
        "dormant_gap": trace.dormant_gap,
    }
    prompt = trace.prompt
    header = {
        "format": "trace",
        "version": TRACE_VERSION,
        "prompt": {"text": prompt.text, "ids": list(prompt.ids), "tokens": list(prompt.tokens)},
        "target_names": list(trace.targets.names),
        "gates": list(trace.features.gates),
        "parallel": trace.parallel,
        "labels": dict(trace.labels),
        "meta": dict(trace.meta),
    }
    if trace.gated:
        header["gated_activation"] = trace.gated.activation
    return {key: value for key, value in parts.items() if isinstance(value, np.ndarray)}, header


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Reads keys and header; refuses what is no trace before any array is read."""
    try:
        with safe_open(path, framework="np") as file:
            header = read_header((file.metadata() or {}).get("circuits"))
            check_names(list(file.keys()))
            kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
            foreign = [f"{key} ({kind})" for key, kind in kinds.items() if kind not in _KINDS]
            if foreign:
                raise InvalidFile(
                    f"Unreadable number types: {', '.join(foreign)}. Write float32 or float64, and"
                    " int32 or int64."
                )
            return {key: file.get_tensor(key) for key in file.keys()}, header  # noqa: SIM118
    except SafetensorError as cause:
        raise InvalidFile(f"Truncated, or no safetensors file ({cause}).") from cause


def _build(arrays: Arrays, header: Mapping[str, Any]) -> Trace:
    """Makes the trace of checked arrays: defaults filled in, integers as int32, features sorted."""
    sizes = check_shapes(arrays)
    filled = _filled(arrays, sizes)
    order = np.lexsort([filled[f"feature.{axis}"] for axis in ("id", "position", "layer")])
    row = np.empty(len(order), np.int32)
    row[order] = np.arange(len(order), dtype=np.int32)
    group = _grouping(filled)
    features = Features(
        **{name: array[order] for name, array in group("feature.")},
        gates=tuple(header.get("gates", ["relu"])),
    )
    reads, writes, targets = (dict(group(prefix)) for prefix in ("read.", "write.", "target."))
    reads["layer"] = filled["feature.layer"][reads["feature"]]
    for terms in (reads, writes):
        terms["feature"] = row[terms["feature"]]
    # the -1 of "no feature" stays itself: it reads the sentinel put behind the last row
    targets["feature"] = np.append(row, np.int32(-1))[targets["feature"]]
    gated = dict(group("gated."))
    if gated:
        gated["feature"] = row[gated["feature"]]
    prompt = header["prompt"]
    return Trace(
        prompt=Prompt(prompt["text"], tuple(prompt["ids"]), tuple(prompt["tokens"])),
        n_layers=sizes["L"],
        token_embedding=filled["token_embedding"],
        position_embedding=filled.get("position_embedding"),
        attention=Attention(**dict(group("attention."))) if "attention.pattern" in filled else None,
        mlp=Mlp(**dict(group("mlp.")), error=filled.get("error")),
        vectors=filled["vectors"],
        features=features,
        reads=Terms(**reads),
        writes=Terms(**writes),
        targets=Targets(tuple(header["target_names"]), **targets),
        parallel=header.get("parallel", False),
        labels=header.get("labels", {}),
        passing=Passing(**dict(group("passing."))) if "passing.layer" in filled else None,
        scores=Scores(**dict(group("score."))) if "score.query" in filled else None,
        gated=Gated(**gated, activation=header["gated_activation"]) if gated else None,
        stream=filled["stream"].astype(bool) if "stream" in filled else None,
        dormant_gap=filled.get("dormant_gap"),
        meta=header.get("meta", {}),
    )


def _grouping(arrays: Arrays) -> Callable[[str], Iterator[tuple[str, np.ndarray]]]:
    def group(prefix: str) -> Iterator[tuple[str, np.ndarray]]:
        return ((k.removeprefix(prefix), v) for k, v in arrays.items() if k.startswith(prefix))

    return group


def _filled(arrays: Arrays, sizes: Mapping[str, int]) -> Arrays:
    """Gives the arrays with the defaults of the keys left out, integers as int32 (gates as int8)."""
    n, L, F, T = (sizes[letter] for letter in "nLFT")
    kind = arrays["token_embedding"].dtype
    whole = {
        key: array.astype(np.int8 if key == "feature.gate" else np.int32) if KEYS[key].integer else array
        for key, array in arrays.items()
    }
    defaults: Arrays = {
        "mlp.read_scale": np.ones((L, n), kind),
        "mlp.write_scale": np.ones((L, n), kind),
        "feature.bias": np.zeros(F, kind),
        "feature.threshold": np.zeros(F, kind),
        "feature.gate": np.zeros(F, np.int8),
        "read.coefficient": np.ones(sizes["E"], kind),
        "write.coefficient": np.ones(sizes["W"], kind),
        "write.layer": whole["feature.layer"][whole["write.feature"]],
        "target.position": np.full(T, n - 1, np.int32),
        "target.bias": np.zeros(T, kind),
        "target.weight": np.full(T, 1 / T, kind),
        "target.feature": np.full(T, -1, np.int32),
    }
    if "attention.pattern" in arrays:
        defaults["attention.read_scale"] = np.ones((L, n), kind)
        defaults["attention.write_scale"] = np.ones((L, n), kind)
    if "score.query" in arrays:
        defaults["score.query_scale"] = np.ones((L, sizes["H"], n), kind)
        defaults["score.key_scale"] = np.ones((L, sizes["K"], n), kind)
        defaults["score.factor"] = np.full(L, sizes["Q"] ** -0.5, kind)
    return {**defaults, **whole}
