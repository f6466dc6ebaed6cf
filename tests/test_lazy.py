"""A dictionary far larger than the memory it may take: what is read of it, and what is held."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from coders_on_disk import FIXTURES
from coders_on_disk import read as read_coders
from safetensors.torch import save_file
from sample_graph import sample_graph
from tiny_dictionaries import write_transcoders
from tiny_models import tiny_model

from circuits.cli.main import run
from circuits.cli.work import stamped
from circuits.dictionaries import rows as rows_module
from circuits.dictionaries.formats.gemma_scope import ArchiveRows
from circuits.dictionaries.formats.tensor_files import fingerprint
from circuits.dictionaries.formats.torch_files import fingerprint_of, state_of
from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.reading import PAGE, Reading, column_bytes, count, reading
from circuits.dictionaries.rows import (
    CentredRows,
    DenseRows,
    FileRows,
    ScaledRows,
    StretchedRows,
    products,
    row_norms,
)
from circuits.extraction.extract import Extraction, extract
from circuits.prompt import Prompt

LAYERS, D, M = 3, 256, 163_840  # 1.01 GB
ACTIVE = (0, 77_777, M - 1)  # spread over all blocks the encoder is read in
HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "mlp.hook_out"}
SHAPES = {"W_dec": (M, D), "W_enc": (M, D), "b_dec": (D,), "b_enc": (M,)}


def write_sparse(path):
    """Writes a dictionary of a gigabyte of zeros, its three active features aside, as holes in files."""
    path.mkdir()
    header, at = {}, 0
    for key, shape in SHAPES.items():
        end = at + 4 * int(np.prod(shape))
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    begin = 8 + len(told)
    for layer in range(LAYERS):
        with (path / f"layer_{layer}.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(told)) + told)
            for feature in ACTIVE:
                file.seek(begin + header["b_enc"]["data_offsets"][0] + 4 * feature)
                file.write(struct.pack("<f", 1 + layer))
                file.seek(begin + header["W_dec"]["data_offsets"][0] + 4 * D * feature)
                file.write(np.full(D, 0.25, dtype="<f4").tobytes())
            file.truncate(begin + at)
    (path / "config.yaml").write_text(yaml.safe_dump({"model_kind": "transcoder_set", **HOOKS}))
    return path


def peak():
    """Gives the peak of this process's resident memory, in bytes, the pages of mapped files included."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def explain_in_this_process(path):
    """Explains one prompt by the dictionary at `path`; prints what was read and how memory grew."""
    from tiny_models import ARCHITECTURES, TinyTokens

    from circuits.models.load import model_from_module

    torch.set_num_threads(1)
    model = model_from_module(ARCHITECTURES["llama"](hidden_size=D), TinyTokens(), spec="tiny", name="tiny")
    prompt = Prompt.of("t1 t2 t3", model)
    settings = Extraction(labels=False)
    small = load_dictionary(str(write_transcoders(Path(path).parent / "small", model, "relu")), model)
    extract(model, small, prompt, settings)  # so that nothing is loaded for the first time below
    before = peak()
    trace = extract(model, load_dictionary(path, model), prompt, settings)
    grown = peak() - before
    said = {"grown": grown, "features": len(trace.features), "dictionary": trace.meta["dictionary"]}
    print(json.dumps(said))


def test_a_gigabyte_is_explained_by_reading_encoders_and_active_rows_in_bounded_memory(tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of resident memory is read from /proc")
    path = write_sparse(tmp_path / "large")
    on_disk = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    assert on_disk > 1_000_000_000
    code = f"import test_lazy; test_lazy.explain_in_this_process({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["features"] == LAYERS * 3 * len(ACTIVE)
    vectors = 4 * (M + D)  # b_enc and b_dec
    fingerprint = vectors + 4 * 2 * 64 * D  # and 64 rows of each matrix
    encoder, rows = 4 * M * D, 4 * 2 * len(ACTIVE) * D  # an active feature's encoder and decoder row
    expected = LAYERS * (fingerprint + vectors + encoder + rows)
    assert said["dictionary"]["bytes_read"] == expected
    assert said["dictionary"]["bytes"] == on_disk
    assert said["grown"] < on_disk / 8


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 1024)


def matrices(tmp_path):
    """Gives the same 100 rows of width 6 in every way they may be held."""
    matrix = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    stacked = torch.stack([torch.zeros_like(matrix), matrix], dim=1)
    file = tmp_path / "rows.safetensors"
    parts = torch.stack([torch.zeros_like(matrix), matrix])
    tensors = {"rows": matrix, "columns": matrix.T, "stacked": stacked, "parts": parts, "turned": parts.mT}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)
    np.savez(tmp_path / "rows.npz", rows=matrix.numpy(), columns=matrix.numpy().T.copy())
    like = (torch.float32, torch.device("cpu"))
    scale = torch.arange(100.0)
    archive = tmp_path / "rows.npz"
    rows = FileRows(file, "rows", (100, 6), *like)
    return {
        "dense": (DenseRows(matrix), matrix),
        "rows": (rows, matrix),
        "columns": (FileRows(file, "columns", (100, 6), *like, transposed=True), matrix),
        "stacked": (FileRows(file, "stacked", (100, 6), *like, target=1), matrix),
        "part": (FileRows(file, "parts", (100, 6), *like, part=1), matrix),
        "part of columns": (FileRows(file, "turned", (100, 6), *like, transposed=True, part=1), matrix),
        "archive": (ArchiveRows(archive, "rows", *like), matrix),
        "archive columns": (ArchiveRows(archive, "columns", *like, transposed=True), matrix),
        "scaled": (ScaledRows(rows, scale), matrix * scale[:, None]),
        "stretched": (StretchedRows(rows, torch.arange(6.0)), matrix * torch.arange(6.0)),
        "centred": (CentredRows(rows), matrix - matrix.mean(dim=1, keepdim=True)),
    }


STORED = ("rows", "columns", "stacked", "part", "part of columns", "archive", "archive columns")
KINDS = ("dense", *STORED, "scaled", "stretched", "centred")


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_the_whole_in_turn(tmp_path, kind, small_blocks):
    rows, matrix = matrices(tmp_path)[kind]
    blocks = list(rows.blocks())
    assert (len(blocks) > 1) == (kind != "dense")
    torch.testing.assert_close(torch.cat(blocks), matrix)
    torch.testing.assert_close(rows.take([99, 0, 42]), matrix[[99, 0, 42]])
    x, bias = torch.randn(3, 6), torch.randn(100)
    torch.testing.assert_close(products(x, rows, bias), x @ matrix.T + bias)
    torch.testing.assert_close(row_norms(rows), matrix.square().sum(dim=1).sqrt())


@pytest.mark.parametrize("kind", STORED)
def test_what_is_read_is_counted(tmp_path, kind):
    rows, _ = matrices(tmp_path)[kind]
    with reading() as whole:
        list(rows.blocks())
    assert whole.bytes_read == 4 * 100 * 6
    with reading() as some:
        rows.take([3, 5])
    # 100 columns of four bytes lie within a page, so two of them cost all
    assert some.bytes_read == (4 * 100 * 6 if "columns" in kind else 4 * 2 * 6)


@pytest.mark.parametrize("shape", [(1000, 3), (1000, 3, 5), (3, 1000, 5)])
def test_a_fingerprint_reads_64_rows_of_each_matrix_however_they_are_held(tmp_path, shape):
    save_file({"w": torch.ones(shape), "b": torch.ones(7)}, tmp_path / "w.safetensors")
    with reading() as read:
        fingerprint({}, [tmp_path / "w.safetensors"])
    assert read.bytes_read == 4 * (7 + 64 * int(np.prod(shape)) // 1000)


def test_columns_cost_the_pages_they_lie_in():
    index = torch.tensor([0, 1, 1023, 1024, 9000])  # of 4 bytes: pages 0, 0, 0, 1, 8
    assert column_bytes(index, (7, 10_000), 4) == 7 * 3 * PAGE
    assert column_bytes(torch.arange(0, 10_000, 5), (7, 10_000), 4) == 7 * 10_000 * 4


def test_a_fingerprint_reads_pieces_of_long_rows_and_sees_them_change(tmp_path):
    wide, seen = torch.zeros(80, 10_000), set()
    for place in (None, (0, 0), (79, 9_999)):
        if place is not None:
            wide[place] = 1
        save_file({"W": wide}, tmp_path / "wide.safetensors")
        torch.save({"W": wide}, tmp_path / "wide.pt")
        with reading() as read_of:
            one = fingerprint({}, [tmp_path / "wide.safetensors"])
            other = fingerprint_of({}, tmp_path / "wide.pt", state_of(tmp_path / "wide.pt"))
        assert set(read_of.files.values()) == {4 * 64 * 4096}
        assert one == other
        seen.add(one)
    assert len(seen) == 3


def test_one_count_inside_another_counts_for_both():
    with reading() as outer:
        count(Path("a"), 1)
        with reading() as inner:
            count(Path("a"), 2)
            count(Path("b"), 4)
    count(Path("a"), 8)
    assert inner.files == {Path("a"): 2, Path("b"): 4}
    assert outer.files == {Path("a"): 3, Path("b"): 4}
    assert (inner + outer).files == {Path("a"): 5, Path("b"): 8}
    assert Reading().bytes_read == Reading().bytes_on_disk == 0


def test_encoding_in_blocks_gives_the_same_trace(tmp_path, small_blocks):
    model = tiny_model("llama")
    path = write_transcoders(tmp_path / "dictionary", model, "topk")
    prompt = Prompt.of("t1 t2 t3 t4", model)
    in_blocks = extract(model, load_dictionary(str(path), model), prompt)
    rows_module.BLOCK_BYTES = 2**22  # put back by the fixture
    at_once = extract(model, load_dictionary(str(path), model), prompt)
    assert np.array_equal(in_blocks.features.id, at_once.features.id)
    np.testing.assert_allclose(in_blocks.features.activation, at_once.features.activation, rtol=1e-5)
    assert in_blocks.meta["dictionary"] == at_once.meta["dictionary"]


def test_neurons_have_no_files_and_a_layout_of_columns_is_counted_by_pages():
    model = tiny_model("llama")
    trace = extract(model, load_dictionary("neurons", model), Prompt.of("t1 t2", model))
    assert "bytes" not in trace.meta["dictionary"]
    with reading() as read:
        coders = read_coders(FIXTURES / "sae_lens" / "topk")
        loaded = read.bytes_read
        coders.read_terms(1, torch.ones(1, 16))[0].rows.take([0, 1])
    assert read.bytes_read - loaded == 4 * 16 * 24


def test_info_tells_what_a_run_read_and_held(tmp_path, capsys):
    graph = sample_graph()
    told = {**graph.meta["dictionary"], "bytes": 1_008_603_168, "bytes_read": 507_666_432}
    stamped(graph.with_meta(dictionary=told), ["attribute"], 0, 0.0).save(tmp_path / "run")
    assert run(["info", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"read of it +508 MB +of 1.0 GB on disk", shown)
    assert re.search(r"memory +[\d.]+ [MG]B +at its peak", shown)
