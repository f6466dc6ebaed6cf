"""`circuits evaluate` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_dictionaries import write_transcoders
from tiny_models import tiny_model

from circuits.cli.main import run


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "held_out.txt"
    path.write_text(
        "The capital of the state containing Dallas is Austin. In the beginning was the word. " * 40
    )
    return path


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "labelled.jsonl"
    texts = [("In the beginning God created heaven", "scripture"), ("import os, sys def main", "code")]
    lines = [{"text": f"{word} {i} {word}", "label": label} for i in range(12) for word, label in texts]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def asked(text: Path, *more: str) -> list[str]:
    return [
        "evaluate",
        "toy",
        "--model",
        "toy",
        "--text",
        str(text),
        "--tokens",
        "400",
        "--length",
        "40",
        *more,
    ]


def test_the_table_says_what_the_document_says(text: Path, examples: Path, capsys) -> None:
    assert run(asked(text, "--probe", str(examples), "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert run(asked(text, "--probe", str(examples))) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("toy on toy: 2,048 features for each of 4 layers, 400 tokens of")
    probes = next(i for i, line in enumerate(lines) if line.startswith("Telling 2 labels apart"))
    cells = {line.split()[0]: line.split()[1:] for line in lines[:probes] if line.startswith("    ")}
    for layer, found in document["layers"].items():
        numbers = [
            f"{found['FVU']:.3f}",
            f"{found['L0']:.1f}",
            f"{found['dead']:.1%}",
            f"{found['dense']:.1%}",
        ]
        losses = [f"{found['nats']['replaced']:.3f}", f"{found['nats']['recovered']:.1%}"]
        assert cells[layer] == [*numbers, f"{found['duplicates']['0.9']:.1%}", *losses]
        assert found["tokens"] == 390
    whole = document["nats"]["all"]
    assert cells["all"] == [f"{whole['replaced']:.3f}", f"{whole['recovered']:.1%}"]
    assert document["nats"]["model"] < whole["replaced"] < whole["zero"]
    assert f"{document['nats']['model']:.3f}" in said.out
    means = {(m["layer"], m["basis"], m["k"]): m["accuracy"] for m in document["probes"]["means"]}
    # the heading names a path, and takes as many lines as that needs
    head = next(i for i, line in enumerate(lines) if i > probes and line.split()[:2] == ["layer", "k"])
    table = lines[head + 1 :]
    bases = ("features", "neurons", "activations")
    for layer in range(4):
        for row, k in enumerate((1, 2, 5)):
            numbers = [f"{means[layer, basis, k]:.3f}" for basis in bases]
            assert table[4 * layer + row].split() == [*([str(layer)] if k == 1 else []), str(k), *numbers]
        assert table[4 * layer + 3].split() == ["all", f"{means[layer, 'all activations', 192]:.3f}"]
    assert "Running the model" in said.err
    assert "Probing" in said.err


def test_neurons_cost_nothing(text: Path, capsys) -> None:
    assert run(["evaluate", "neurons", *asked(text, "--json", "-q")[2:]]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert said.err == ""
    assert document["kind"] == "neurons"
    assert document["nats"]["all"]["replaced"] == pytest.approx(document["nats"]["model"], abs=1e-5)
    assert all(layer["FVU"] < 1e-10 for layer in document["layers"].values())
    assert "probes" not in document


def test_tokens_are_the_first_of_the_text(text: Path, tmp_path: Path, capsys) -> None:
    ids = np.random.default_rng(0).integers(5, 5000, 4000)
    np.save(tmp_path / "all.npy", ids)
    np.save(tmp_path / "first.npy", ids[:400])
    found = []
    for name in ("all", "first"):
        assert run(asked(tmp_path / f"{name}.npy", "--json", "-q")) == 0
        found.append(json.loads(capsys.readouterr().out) | {"text": ""})
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--text", "missing.txt"], 3, "No file missing.txt"),
        (["--length", "100000"], 2, "less than one sequence"),
        (["--tokens", "20"], 2, "--tokens 20 is less than one sequence of 40 tokens"),
        (["--tokens", "90000", "--length", "9000"], 2, "Sequences of 9000 tokens"),
        (["--probe", "missing.jsonl"], 3, "No file missing.jsonl"),
        (["--model", "nosuch/model"], 3, "nosuch/model"),
    ],
)
def test_refusals(text: Path, capsys, more: list[str], code: int, message: str) -> None:
    assert run(asked(text, "-q", *more)) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_too_little_text_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "short.txt").write_text("Too short.")
    assert run(asked(tmp_path / "short.txt", "-q")) == 2
    assert "less than one sequence of 40: give more" in capsys.readouterr().err


def test_another_models_dictionary_is_refused(text: Path, tmp_path: Path, capsys) -> None:
    place = write_transcoders(tmp_path / "set", tiny_model("llama"), "relu")
    assert run(["evaluate", str(place), *asked(text, "-q")[2:]]) == 4
    assert "has width 32, but toy has width 192" in capsys.readouterr().err
    config = (place / "config.yaml").read_text()
    (place / "config.yaml").write_text(config.replace("mlp.hook_in", "attn.hook_q"))
    assert run(["evaluate", str(place), *asked(text, "-q")[2:]]) != 0
    said = capsys.readouterr().err
    assert "attn.hook_q" in said
    assert said.count("\n") == 1
