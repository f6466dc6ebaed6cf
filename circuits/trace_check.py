"""What a trace file must hold: the keys of `circuits.trace`'s docstring as a table, and their checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from circuits.errors import InvalidFile, near_matches
from circuits.schema import GATES, TRACE_VERSION, feature_name

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Key:
    """What one key of the file must look like; `may_be_absent` where it has a default."""

    shape: str
    integer: bool = False
    may_be_absent: bool = False


KEYS: Final[Mapping[str, Key]] = {
    "token_embedding": Key("n d"),
    "position_embedding": Key("n d", may_be_absent=True),
    "attention.pattern": Key("L H n n", may_be_absent=True),
    "attention.value": Key("L K R d", may_be_absent=True),
    "attention.output": Key("L H d R", may_be_absent=True),
    "attention.read_scale": Key("L n", may_be_absent=True),
    "attention.write_scale": Key("L n", may_be_absent=True),
    "attention.constant": Key("L n d", may_be_absent=True),
    "score.query": Key("L H Q d", may_be_absent=True),
    "score.key": Key("L K Q d", may_be_absent=True),
    "score.query_bias": Key("L H Q", may_be_absent=True),
    "score.key_bias": Key("L K Q", may_be_absent=True),
    "score.query_scale": Key("L H n", may_be_absent=True),
    "score.key_scale": Key("L K n", may_be_absent=True),
    "score.angle": Key("L n P", may_be_absent=True),
    "score.factor": Key("L", may_be_absent=True),
    "mlp.read_scale": Key("L n", may_be_absent=True),
    "mlp.write_scale": Key("L n", may_be_absent=True),
    "mlp.skip": Key("L d d", may_be_absent=True),
    "mlp.constant": Key("L n d", may_be_absent=True),
    "error": Key("L n d", may_be_absent=True),
    "stream": Key("L", integer=True, may_be_absent=True),
    "passing.layer": Key("U", integer=True, may_be_absent=True),
    "passing.write": Key("U d M", may_be_absent=True),
    "passing.read": Key("U C M d", may_be_absent=True),
    "passing.coefficient": Key("U C n M", may_be_absent=True),
    "passing.constant": Key("U n d", may_be_absent=True),
    "vectors": Key("V d"),
    "feature.layer": Key("F", integer=True),
    "feature.position": Key("F", integer=True),
    "feature.id": Key("F", integer=True),
    "feature.activation": Key("F"),
    "feature.pre_activation": Key("F"),
    "feature.bias": Key("F", may_be_absent=True),
    "feature.threshold": Key("F", may_be_absent=True),
    "feature.gate": Key("F", integer=True, may_be_absent=True),
    "read.feature": Key("E", integer=True),
    "read.vector": Key("E", integer=True),
    "read.coefficient": Key("E", may_be_absent=True),
    "write.feature": Key("W", integer=True),
    "write.vector": Key("W", integer=True),
    "write.layer": Key("W", integer=True, may_be_absent=True),
    "write.coefficient": Key("W", may_be_absent=True),
    "gated.feature": Key("G", integer=True, may_be_absent=True),
    "gated.gate_vector": Key("G", integer=True, may_be_absent=True),
    "gated.value_vector": Key("G", integer=True, may_be_absent=True),
    "gated.gate": Key("G", may_be_absent=True),
    "gated.value": Key("G", may_be_absent=True),
    "target.vector": Key("T d"),
    "target.position": Key("T", integer=True, may_be_absent=True),
    "target.bias": Key("T", may_be_absent=True),
    "target.weight": Key("T", may_be_absent=True),
    "target.value": Key("T"),
    "target.feature": Key("T", integer=True, may_be_absent=True),
    "dormant_gap": Key("L n", may_be_absent=True),
}
GATED: Final = ("relu", "gelu", "gelu_tanh", "silu")
"""What the activation of gated neurons may be."""

_TOGETHER: Final = {
    "attention.": ("attention.pattern", "attention.value", "attention.output"),
    "score.": ("attention.pattern", "score.query", "score.key"),
    "gated.": tuple(f"gated.{name}" for name in ("feature", "gate_vector", "value_vector", "gate", "value")),
    "passing.": ("passing.layer", "passing.write", "passing.read", "passing.coefficient"),
}


def read_header(text: str | None) -> dict[str, Any]:
    """Gives the header's JSON object, checked.

    Raises:
        InvalidFile: there is none, or it is of another format or version, or an entry is wrong.
    """
    if text is None:
        raise InvalidFile("No metadata entry 'circuits': this safetensors file is no trace.")
    try:
        header = json.loads(text)
    except json.JSONDecodeError as cause:
        raise InvalidFile(f"The metadata entry 'circuits' is not JSON ({cause}).") from cause
    if not isinstance(header, dict) or header.get("format") != "trace":
        raise InvalidFile("The metadata entry 'circuits' does not say format 'trace'.")
    if header.get("version") != TRACE_VERSION:
        raise InvalidFile(
            f"Trace format version {header.get('version')!r} is unknown: this package reads"
            f" version {TRACE_VERSION}."
        )
    missing = [name for name in ("prompt", "target_names") if name not in header]
    if missing:
        raise InvalidFile(f"The header lacks {', '.join(missing)}.")
    _check_header(header)
    return header


def _check_header(header: Mapping[str, Any]) -> None:
    """Refuses header entries of a wrong type and gates nobody knows."""
    prompt = header["prompt"]
    texts = {"target_names": header["target_names"], "gates": header.get("gates", ["relu"])}
    if isinstance(prompt, dict) and isinstance(prompt.get("text"), str):
        texts["prompt.tokens"] = prompt.get("tokens")
    else:
        raise InvalidFile("The header's prompt must be an object with text, ids and tokens.")
    ids = prompt.get("ids")
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise InvalidFile("The header's prompt.ids must be a list of whole numbers.")
    for name, value in texts.items():
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise InvalidFile(f"The header's {name} must be a list of texts.")
    for name in ("labels", "meta"):
        if not isinstance(header.get(name, {}), dict):
            raise InvalidFile(f"The header's {name} must be an object.")
    if not isinstance(header.get("parallel", False), bool):
        raise InvalidFile("The header's parallel must be true or false.")
    unknown = [gate for gate in texts["gates"] if gate not in GATES]
    if unknown:
        raise InvalidFile(f"Unknown gates: {', '.join(unknown)}. There are {', '.join(GATES)}.")


def check_names(keys: list[str]) -> None:
    """Raises `InvalidFile` naming all missing and all unknown keys at once."""
    missing = [key for key, spec in KEYS.items() if not spec.may_be_absent and key not in keys]
    for prefix, needed in _TOGETHER.items():
        if any(key.startswith(prefix) for key in keys):
            missing += [key for key in needed if key not in keys]
    unknown = [key for key in keys if key not in KEYS]
    problems = []
    if missing:
        problems.append(f"lacks {', '.join(missing)}")
    if unknown:
        problems.append(f"has unknown keys {', '.join(unknown)}")
    if problems:
        hint = near_matches(unknown[0], KEYS) if unknown else ""
        raise InvalidFile(f"The trace {' and '.join(problems)}.{hint}")


def check(arrays: Arrays, header: Mapping[str, Any]) -> None:
    """Raises `InvalidFile` where arrays and header break the contract, naming the key and its numbers."""
    _check_header(header)
    check_names(list(arrays))
    _check_kinds(arrays)
    sizes = check_shapes(arrays)
    _check_values(arrays)
    _check_ranges(arrays, sizes, header)
    _check_meaning(arrays, sizes, header)


def _check_kinds(arrays: Arrays) -> None:
    """Integers where integers belong, and one kind of float throughout."""
    base = arrays["token_embedding"].dtype
    for key, array in arrays.items():
        wanted = "an integer type" if KEYS[key].integer else "float32 or float64"
        fits = array.dtype.kind in "iu" if KEYS[key].integer else array.dtype in (np.float32, np.float64)
        if not fits:
            raise InvalidFile(f"{key} holds {array.dtype} instead of {wanted}.")
        if not KEYS[key].integer and array.dtype != base:
            raise InvalidFile(
                f"{key} holds {array.dtype} but token_embedding {base}: write one kind of float."
            )


def check_shapes(arrays: Arrays) -> dict[str, int]:
    """Gives the size of every letter of the contract; the first key that has a letter sets it."""
    sizes: dict[str, int] = {}
    for key, spec in KEYS.items():
        if key not in arrays:
            continue
        shape, letters = arrays[key].shape, spec.shape.split()
        if len(shape) == len(letters):
            for letter, size in zip(letters, shape, strict=True):
                sizes.setdefault(letter, size)
            expected = tuple(sizes[letter] for letter in letters)
            if shape == expected:
                continue
        known = ", ".join(f"{letter}={sizes[letter]}" if letter in sizes else letter for letter in letters)
        raise InvalidFile(f"{key} has shape {shape} instead of ({known}).")
    if sizes["n"] == 0 or sizes["T"] == 0:
        raise InvalidFile("A trace needs at least one token and one target.")
    if "H" in sizes and (sizes["K"] == 0 or sizes["H"] % sizes["K"]):
        raise InvalidFile(
            f"attention.pattern has H={sizes['H']} heads, no multiple of the K={sizes['K']} value groups"
            " of attention.value."
        )
    if 2 * sizes.get("P", 0) > sizes.get("Q", 0):
        raise InvalidFile(
            f"score.angle turns P={sizes['P']} pairs of dimensions, but score.query has only"
            f" Q={sizes['Q']} dimensions."
        )
    if "L" not in sizes:  # nothing is frozen per layer: the features say how many there are
        above = [arrays[key].max(initial=-1) for key in ("feature.layer", "write.layer") if key in arrays]
        sizes["L"] = 1 + max(int(layer) for layer in above)
    return sizes


def _check_values(arrays: Arrays) -> None:
    for key, array in arrays.items():
        if KEYS[key].integer:
            continue
        bad = np.isnan(array) | (array == -np.inf) if key == "dormant_gap" else ~np.isfinite(array)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise InvalidFile(
                f"{key} holds {int(bad.sum())} numbers that are NaN or infinite, the first at {first}."
            )


def _check_ranges(arrays: Arrays, sizes: Mapping[str, int], header: Mapping[str, Any]) -> None:
    gates = len(header.get("gates", ["relu"]))
    ranges = {
        "feature.layer": (0, sizes["L"], "layers"),
        "feature.position": (0, sizes["n"], "positions"),
        "feature.id": (0, 2**31, "feature ids"),
        "feature.gate": (0, gates, "gates of the header"),
        "stream": (0, 2, "answers"),
        "passing.layer": (0, sizes["L"], "layers"),
        "read.feature": (0, sizes["F"], "features"),
        "read.vector": (0, sizes["V"], "vectors"),
        "write.feature": (0, sizes["F"], "features"),
        "write.vector": (0, sizes["V"], "vectors"),
        "write.layer": (0, sizes["L"], "layers"),
        "gated.feature": (0, sizes["F"], "features"),
        "gated.gate_vector": (0, sizes["V"], "vectors"),
        "gated.value_vector": (0, sizes["V"], "vectors"),
        "target.position": (0, sizes["n"], "positions"),
        "target.feature": (-1, sizes["F"], "features"),
    }
    for key, (low, high, what) in ranges.items():
        array = arrays.get(key, np.zeros(0, np.int64))
        bad = (array < low) | (array >= high)
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidFile(f"{key}[{row}] is {array[row]}: there are {high} {what}, counted from 0.")


def _check_meaning(arrays: Arrays, sizes: Mapping[str, int], header: Mapping[str, Any]) -> None:
    """What must hold between keys."""
    prompt, names = header["prompt"], header["target_names"]
    counts = {
        "prompt.ids": (len(prompt["ids"]), sizes["n"], "n"),
        "prompt.tokens": (len(prompt["tokens"]), sizes["n"], "n"),
        "target_names": (len(names), sizes["T"], "T"),
    }
    for name, (has, wants, letter) in counts.items():
        if has != wants:
            raise InvalidFile(f"The header's {name} has {has} entries instead of {letter}={wants}.")
    if len(set(names)) != len(names):
        raise InvalidFile(f"The header's target_names has a name twice: {', '.join(names)}.")
    _check_places(arrays)
    _check_gated(arrays, header)
    _check_stream(arrays)
    _check_causal(arrays.get("attention.pattern", np.zeros((0, 0, 0, 0))))


def _check_places(arrays: Arrays) -> None:
    """No feature twice, none writing into a layer before its own."""
    places = np.stack([arrays[f"feature.{axis}"] for axis in ("layer", "position", "id")], axis=1)
    ordered = places[np.lexsort(places.T[::-1])]
    twice = (ordered[1:] == ordered[:-1]).all(axis=1)
    if twice.any():
        layer, position, number = (int(i) for i in ordered[np.argmax(twice)])
        raise InvalidFile(f"The feature {feature_name(layer, number, position)} is listed more than once.")
    own = arrays["feature.layer"][arrays["write.feature"]]
    into = arrays.get("write.layer", own)
    if (into < own).any():
        row = int(np.argmax(into < own))
        raise InvalidFile(f"write.layer[{row}] is {into[row]}, before the feature's own layer {own[row]}.")


def _check_gated(arrays: Arrays, header: Mapping[str, Any]) -> None:
    """Each gated neuron once, a linear feature, with an activation that is known."""
    if "gated.feature" not in arrays:
        return
    act = header.get("gated_activation")
    if act not in GATED:
        raise InvalidFile(f"The header's gated_activation is {act!r}: there are {', '.join(GATED)}.")
    features = arrays["gated.feature"]
    if len(np.unique(features)) != len(features):
        raise InvalidFile("gated.feature names a feature twice.")
    names = header.get("gates", ["relu"])
    codes = arrays.get("feature.gate", np.zeros(len(arrays["feature.layer"]), int))[features]
    bent = [names[code] for code in np.unique(codes).tolist() if names[code] != "linear"]
    if bent:
        raise InvalidFile(
            f"gated.feature names some whose gate is {', '.join(bent)}: gated neurons are linear features."
        )


def _check_stream(arrays: Arrays) -> None:
    """Features on the stream write there, no others do, and no layer passes twice."""
    if len(np.unique(arrays.get("passing.layer", np.zeros(0)))) != len(arrays.get("passing.layer", ())):
        raise InvalidFile(f"passing.layer names a layer twice: {arrays['passing.layer'].tolist()}.")
    if "stream" not in arrays:
        return
    own = arrays["feature.layer"][arrays["write.feature"]]
    into = arrays.get("write.layer", own)
    bad = (into != own) & ((arrays["stream"][own] == 1) | (arrays["stream"][into] == 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidFile(
            f"write.layer[{row}] leads from layer {own[row]} to layer {into[row]}: features on the stream"
            " write into their own layer, and no others do."
        )


def _check_causal(pattern: np.ndarray) -> None:
    for layer, heads in enumerate(pattern):  # by layer: a copy of all would double the memory
        ahead = np.argwhere(np.triu(heads, 1))
        if len(ahead):
            head, query, key = (int(i) for i in ahead[0])
            raise InvalidFile(
                f"attention.pattern looks ahead: layer {layer}, head {head}, from position {query} to"
                f" {key}. Only causal attention can be traced."
            )
