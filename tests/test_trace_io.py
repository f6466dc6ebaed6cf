from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from literal import run_trace, source_names
from safetensors.numpy import save_file
from strategies import random_trace, traces

from circuits import trace as contract
from circuits.errors import InvalidFile, NotFound, OutputExists
from circuits.trace import Features, Trace
from circuits.trace_check import KEYS
from circuits.trace_io import check_trace, load_trace, save_trace

HEADER = {
    "format": "trace",
    "version": 1,
    "prompt": {"text": "a b", "ids": [5, 6], "tokens": ["a", " b"]},
    "target_names": ["logit: c"],
}


def hand_made() -> dict[str, np.ndarray]:
    """Two tokens, width 2, one layer, one feature that reads the first axis and writes the second."""
    return {
        "token_embedding": np.array([[1.0, 0.0], [2.0, 0.0]]),
        "vectors": np.array([[1.0, 0.0], [0.0, 3.0]]),
        "feature.layer": np.array([0]),
        "feature.position": np.array([1]),
        "feature.id": np.array([7]),
        "feature.activation": np.array([2.0]),
        "feature.pre_activation": np.array([2.0]),
        "read.feature": np.array([0]),
        "read.vector": np.array([0]),
        "write.feature": np.array([0]),
        "write.vector": np.array([1]),
        "target.vector": np.array([[0.0, 1.0]]),
        "target.value": np.array([6.0]),
    }


def write(path: Path, arrays: dict[str, np.ndarray], header: object = HEADER) -> Path:
    save_file(arrays, path, metadata={"circuits": json.dumps(header)})
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidFile) as caught:
        load_trace(path)
    return str(caught.value)


def same(left: object, right: object) -> bool:
    """Equality of records field by field, arrays by kind and content."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if hasattr(left, "__dataclass_fields__"):
        return type(left) is type(right) and all(
            same(getattr(left, f.name), getattr(right, f.name)) for f in fields(left)
        )
    return bool(left == right)


@given(traces())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_loaded(tmp_path: Path, trace: Trace) -> None:
    save_trace(trace, tmp_path / "t.safetensors", overwrite=True)
    assert same(load_trace(tmp_path / "t.safetensors"), trace)


def test_keys_left_out_take_their_defaults(tmp_path: Path) -> None:
    trace = load_trace(write(tmp_path / "t", hand_made()))
    assert trace.n_layers == 1
    assert trace.attention is None
    assert trace.position_embedding is None
    assert trace.mlp.skip is None
    assert trace.mlp.read_scale.tolist() == [[1, 1]]
    assert trace.mlp.write_scale.tolist() == [[1, 1]]
    assert trace.features.gates == ("relu",)
    assert trace.features.layer.dtype == np.int32
    assert (trace.targets.position.tolist(), trace.targets.weight.tolist()) == ([1], [1.0])
    assert trace.targets.feature.tolist() == [-1]
    assert (trace.writes.layer.tolist(), trace.writes.coefficient.tolist()) == ([0], [1.0])
    assert trace.prompt.tokens == ("a", " b")
    assert run_trace(trace).targets.tolist() == [6.0]  # 3 · relu(2), by hand


def test_several_targets_share_the_weight_by_default(tmp_path: Path) -> None:
    arrays = hand_made() | {"target.vector": np.ones((4, 2)), "target.value": np.zeros(4)}
    trace = load_trace(write(tmp_path / "t", arrays, HEADER | {"target_names": list("abcd")}))
    assert trace.targets.weight.tolist() == [0.25] * 4


def test_unsorted_features_are_sorted_and_the_meaning_stays(tmp_path: Path) -> None:
    trace = random_trace(3, feature_target=True, cross_layer=True, gates=("relu", "jumprelu"))
    f = trace.features
    shuffled = np.random.default_rng(0).permutation(len(f))
    row = np.argsort(shuffled).astype(np.int32)
    arrays = {k: v[shuffled] for k, v in vars(f).items() if isinstance(v, np.ndarray)}
    mixed = replace(
        trace,
        features=Features(**arrays, gates=f.gates),
        reads=replace(trace.reads, feature=row[trace.reads.feature]),
        writes=replace(trace.writes, feature=row[trace.writes.feature]),
        targets=replace(
            trace.targets,
            feature=np.where(trace.targets.feature < 0, -1, row[trace.targets.feature]).astype(np.int32),
        ),
    )
    save_trace(mixed, tmp_path / "t")
    assert same(load_trace(tmp_path / "t"), trace)


def test_missing_and_unknown_keys_are_all_named(tmp_path: Path) -> None:
    arrays = hand_made()
    del arrays["vectors"], arrays["target.value"]
    arrays["read.coeficient"] = np.ones(1)
    message = refusal(write(tmp_path / "t", arrays))
    assert "lacks vectors, target.value" in message
    assert "unknown keys read.coeficient" in message
    assert "'read.coefficient'" in message


def test_attention_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    arrays = hand_made() | {"attention.read_scale": np.ones((1, 2))}
    message = refusal(write(tmp_path / "t", arrays))
    assert "lacks attention.pattern, attention.value, attention.output" in message


ATTENTION = {
    "attention.pattern": np.tril(np.ones((1, 3, 2, 2))),
    "attention.value": np.ones((1, 2, 1, 2)),
    "attention.output": np.ones((1, 3, 2, 1)),
}
BROKEN = {
    "shape": ({"target.vector": np.ones((1, 3))}, "target.vector has shape (1, 3) instead of (T=1, d=2)"),
    "rank": ({"vectors": np.ones(4)}, "vectors has shape (4,) instead of (V, d=2)"),
    "length": ({"feature.id": np.array([1, 2])}, "feature.id has shape (2,) instead of (F=1)"),
    "float ids": ({"feature.id": np.array([1.0])}, "feature.id holds float64 instead of an integer type"),
    "whole floats": ({"target.value": np.array([6])}, "target.value holds int64 instead of float32 or"),
    "mixed floats": ({"target.value": np.ones(1, np.float32)}, "write one kind of float"),
    "half floats": ({"target.value": np.ones(1, np.float16)}, "target.value (F16)"),
    "NaN": ({"target.vector": np.array([[0.0, np.nan]])}, "target.vector holds 1 numbers that are NaN"),
    "infinite": ({"vectors": np.full((2, 2), np.inf)}, "vectors holds 4 numbers that are NaN or infinite"),
    "gap NaN": ({"dormant_gap": np.full((1, 2), np.nan)}, "dormant_gap holds 2 numbers"),
    "position": ({"feature.position": np.array([2])}, "feature.position[0] is 2: there are 2 positions"),
    "negative": ({"read.feature": np.array([-1])}, "read.feature[0] is -1: there are 1 features"),
    "vector": ({"write.vector": np.array([2])}, "write.vector[0] is 2: there are 2 vectors"),
    "layer": (
        {"feature.layer": np.array([1]), "mlp.read_scale": np.ones((1, 2))},
        "feature.layer[0] is 1: there are 1 layers",
    ),
    "gate": ({"feature.gate": np.array([1])}, "feature.gate[0] is 1: there are 1 gates"),
    "target": ({"target.feature": np.array([-2])}, "target.feature[0] is -2"),
    "backwards": (
        {"feature.layer": np.array([1]), "write.layer": np.array([0])},
        "write.layer[0] is 0, before the feature's own layer 1",
    ),
    "groups": (ATTENTION, "H=3 heads, no multiple of the K=2 value groups"),
    "ahead": (
        {
            "attention.pattern": np.ones((1, 1, 2, 2)),
            "attention.value": np.ones((1, 1, 1, 2)),
            "attention.output": np.ones((1, 1, 2, 1)),
        },
        "looks ahead: layer 0, head 0, from position 0 to 1",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_arrays_are_refused_by_name_and_number(case: str, tmp_path: Path) -> None:
    change, sentence = BROKEN[case]
    assert sentence in refusal(write(tmp_path / "t", hand_made() | change))


HEADERS = {
    "version": (HEADER | {"version": 2}, "version 2 is unknown: this package reads version 1"),
    "format": (HEADER | {"format": "run"}, "does not say format 'trace'"),
    "gates": (HEADER | {"gates": ["relu", "swish"]}, "Unknown gates: swish"),
    "lacking": ({"format": "trace", "version": 1}, "lacks prompt, target_names"),
    "tokens": (
        HEADER | {"prompt": {"text": "a", "ids": [5], "tokens": ["a"]}},
        "prompt.ids has 1 entries instead of n=2",
    ),
    "names": (HEADER | {"target_names": []}, "target_names has 0 entries instead of T=1"),
    "text names": (HEADER | {"target_names": [3]}, "target_names must be a list of texts"),
    "labels": (HEADER | {"labels": 3}, "labels must be an object"),
    "list": ([1], "does not say format 'trace'"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_broken_headers_are_refused(case: str, tmp_path: Path) -> None:
    header, sentence = HEADERS[case]
    assert sentence in refusal(write(tmp_path / "t", hand_made(), header))


def test_one_feature_cannot_be_in_one_place_twice() -> None:
    trace = random_trace(0)
    twice = replace(trace.features, id=np.zeros_like(trace.features.id))
    with pytest.raises(InvalidFile, match=r"0/0@0 is listed more than once"):
        check_trace(replace(trace, features=twice))


def test_an_infinite_gap_is_fine(tmp_path: Path) -> None:
    arrays = hand_made() | {"dormant_gap": np.array([[np.inf, 0.5]])}
    gap = load_trace(write(tmp_path / "t", arrays)).dormant_gap
    assert gap is not None
    assert gap.tolist() == [[np.inf, 0.5]]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    save_trace(random_trace(0), tmp_path / "t")
    content = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(content[: int(share * len(content))])
    assert "Truncated, or no safetensors file" in refusal(tmp_path / "t")


def test_other_safetensors_files_and_absent_ones(tmp_path: Path) -> None:
    save_file({"weight": np.ones(3)}, tmp_path / "model")
    assert "no trace" in refusal(tmp_path / "model")
    with pytest.raises(NotFound, match="nowhere"):
        load_trace(tmp_path / "nowhere")


def test_no_invalid_trace_is_written_and_none_replaced_unasked(tmp_path: Path) -> None:
    trace = random_trace(0)
    with pytest.raises(InvalidFile, match="vectors"):
        save_trace(replace(trace, vectors=trace.vectors * np.nan), tmp_path / "t")
    with pytest.raises(InvalidFile, match="JSON"):
        save_trace(replace(trace, meta={"a": object()}), tmp_path / "t")
    with pytest.raises(InvalidFile, match="read_scale has 3 rows but the trace 4 layers"):
        save_trace(replace(trace, n_layers=4), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []
    save_trace(trace, tmp_path / "t")
    with pytest.raises(OutputExists):
        save_trace(random_trace(1), tmp_path / "t")
    assert same(load_trace(tmp_path / "t"), trace)


def test_views_are_written_as_they_read(tmp_path: Path) -> None:
    """A transposed array has other bytes in memory than its rows."""
    trace = random_trace(0, n=3, d=3)
    turned = replace(trace, token_embedding=trace.token_embedding.T)
    save_trace(turned, tmp_path / "t")
    assert np.array_equal(load_trace(tmp_path / "t").token_embedding, trace.token_embedding.T)


def test_the_table_of_keys_is_the_docstrings(tmp_path: Path) -> None:
    """Reads the contract's table: key, degree sign where it may be left out, shape."""
    rows = (contract.__doc__ or "").split("key                            shape")[1].splitlines()
    documented: dict[str, tuple[str, bool]] = {}
    for line in rows:
        cells = re.match(r"^([a-z_]+[a-z_., ]*?)( °)?  +((?:[A-Z]|[nd])(?: [A-Znd])*)(?: \(int8\))?  +", line)
        if cells:
            names = [name.strip() for name in cells[1].split(",")]
            group = names[0].split(".")[0]
            for name in names:
                documented[group + name if name.startswith(".") else name] = (cells[3], bool(cells[2]))
    ours = {key: (spec.shape, spec.may_be_absent) for key, spec in KEYS.items()}
    together = {"attention.pattern", "attention.value", "attention.output"}  # together or not at all
    together |= {"passing.write", "passing.read", "passing.coefficient", "score.key"}
    together |= {"gated.gate_vector", "gated.value_vector", "gated.gate", "gated.value"}
    assert {k: v for k, v in documented.items() if k not in together} == {
        k: v for k, v in ours.items() if k not in together
    }
    assert {k: documented[k][0] for k in together} == {k: ours[k][0] for k in together}


def test_the_literal_forward_agrees_with_the_trace_and_masks_reach_it() -> None:
    """The oracle itself: frozen and live passes agree on the prompt; each source moves something."""
    trace = random_trace(5, cross_layer=True, gates=("relu", "gelu"))
    live, frozen = run_trace(trace), run_trace(trace, frozen=True)
    assert np.allclose(live.targets, frozen.targets, atol=1e-12)
    assert np.allclose(live.pre_activation, trace.features.pre_activation, atol=1e-12)
    everything = run_trace(trace, dict.fromkeys(source_names(trace), 0.0))
    assert np.array_equal(everything.targets, np.zeros(2))
    alone = [
        run_trace(trace, dict.fromkeys(source_names(trace), 0.0) | {s: 1.0}, frozen=True).targets
        for s in source_names(trace)
    ]
    assert np.allclose(sum(alone), live.targets, atol=1e-12)  # frozen, the sources add up
