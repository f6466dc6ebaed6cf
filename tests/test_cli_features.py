"""`circuits describe` and `circuits features` as a user meets them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_explain import serving
from tiny_dictionaries import N_FEATURES, write_transcoders

from circuits.cli.cards import bars
from circuits.cli.main import run
from circuits.graph.io import load_run
from circuits.models.load import load_model

PROMPT = "The capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Text, concepts and a random dictionary of the bundled model, described."""
    root = tmp_path_factory.mktemp("features")
    model = load_model("toy")
    dice = np.random.default_rng(0)
    begin = model.encode(PROMPT)
    geography = np.stack([np.array((begin * 4)[:32])] * 12)
    np.savez(root / "ids.npz", geography=geography, noise=dice.integers(0, 5000, (12, 32)))
    concepts = {"the state": {"tokens": [" state"]}, "places": {"domain": "geography"}}
    (root / "concepts.json").write_text(json.dumps(concepts))
    write_transcoders(root / "dict", model, "topk-relu")
    assert run(described(root)) == 0
    return root


def described(root: Path, *more: str) -> list[str]:
    text, concepts = str(root / "ids.npz"), str(root / "concepts.json")
    easy = ["--precision", "0.5", "--recall", "0.01", "--length", "32"]
    return ["describe", str(root / "dict"), "-m", "toy", "--text", text, "--concepts", concepts, *easy, *more]


def shown(capsys, *words: str) -> str:
    capsys.readouterr()
    assert run(["features", *words]) == 0
    return capsys.readouterr().out


def told(capsys, *words: str) -> dict:
    return json.loads(shown(capsys, *words, "--json"))


def failed(capsys, code: int, *words: str) -> str:
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)["error"]["message"]


def test_describing_says_what_it_made_and_spares_what_is_there(place, capsys) -> None:
    assert "exists" in failed(capsys, 1, *described(place))
    capsys.readouterr()
    assert run(described(place, "--overwrite", "--json")) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["cards"] == str(place / "dict" / "cards.parquet")
    assert set(made["layers"]) == {"0", "1", "2", "3"}
    assert made["layers"]["0"]["features"] == N_FEATURES
    assert made["text"]["choosing"] == made["text"]["testing"] == 12 * 30
    assert sum(layer["labelled"] for layer in made["layers"].values()) > 0
    assert not list((place / "dict").glob(".*"))


def test_a_list_a_search_and_a_card_agree(place, capsys) -> None:
    listed = told(capsys, str(place / "dict"), "--top", "500")["features"]
    assert len(listed) == 4 * N_FEATURES
    named = [row for row in listed if row["label"]]
    assert named == listed[: len(named)]  # what bears a label comes first
    assert told(capsys, str(place / "dict"), "--layer", "2", "--top", "500")["features"] == [
        row for row in listed if row["layer"] == 2
    ]
    one = named[0]
    (card,) = told(capsys, str(place / "dict"), one["name"])["features"]
    assert card["labels"][0]["text"] == one["label"]
    assert card["labels"][0]["precision"] == one["precision"]
    text = shown(capsys, str(place / "dict"), one["name"])
    assert f"Feature {one['name']}" in text
    assert one["label"] in " ".join(text.split())
    assert text.count("«") == len(card["contexts"])
    found = told(capsys, str(place / "dict"), "--search", "dallas", "--top", "500")["features"]
    assert found
    for row in found:
        whole = json.dumps(told(capsys, str(place / "dict"), row["name"])["features"][0])
        assert "dallas" in whole.lower()


def test_tested_labels_stand_on_nodes_and_provisional_ones_keep_their_arrow(place, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    asked = ["attribute", PROMPT, "-m", "toy", "-d", str(place / "dict"), "-o", str(out), "-q"]
    assert run([*asked, "--max-features", "20"]) == 0
    graph = load_run(out)
    rows = graph.nodes.filter(graph.nodes["kind"] == "feature")
    labels = {
        row["name"]: row["label"] for row in told(capsys, str(place / "dict"), "--top", "500")["features"]
    }
    for node, label in rows.select("node", "label").iter_rows():
        tested = labels[node.split("@")[0]]
        assert label == tested if tested else label.startswith('→ "')
    assert any(labels[node.split("@")[0]] for node in rows["node"])
    assert "tested on held-out text" in graph.meta["labels"]
    capsys.readouterr()
    assert run(["why", str(out)]) == 0
    assert "tested on text" in " ".join(capsys.readouterr().out.split())
    page = tmp_path / "report.html"
    assert run(["report", str(out), "-o", str(page), "-q"]) == 0
    told_there = page.read_text()
    assert "label, held out: precision" in told_there  # on pointing at a feature
    assert "tested labels" not in told_there  # not a line for each in the list of settings
    assert run([*asked[:-1], "--no-labels", "--overwrite", "-q"]) == 0
    assert "labels" not in load_run(out).meta


def test_cards_of_another_dictionary_label_nothing_and_are_said(place, tmp_path, capsys) -> None:
    other = write_transcoders(tmp_path / "other", load_model("toy"), "relu")
    (other / "cards.parquet").write_bytes((place / "dict" / "cards.parquet").read_bytes())
    assert "another dictionary" in failed(capsys, 4, "features", str(other), "-m", "toy")
    out = tmp_path / "run"
    asked = ["attribute", PROMPT, "-m", "toy", "-d", str(other), "-o", str(out), "--max-features", "5"]
    assert run(asked) == 0
    assert "another dictionary" in capsys.readouterr().err
    assert "provisional" in load_run(out).meta["labels"]


def test_neuronpedia_export_through_the_command(place, tmp_path, capsys) -> None:
    out = tmp_path / "export"
    assert told(capsys, str(place / "dict"), "--export-neuronpedia", str(out))["features"] == 4 * N_FEATURES
    assert len(list(out.glob("*/batch-0.json"))) == 4
    words = ["features", str(place / "dict"), "--export-neuronpedia", str(out)]
    assert "exists" in failed(capsys, 1, *words)
    assert run([*words, "--overwrite"]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    assert "spares it" in failed(capsys, 1, *words[:3], str(tmp_path / "mine"), "--overwrite")


def test_explanations_are_shown_and_searched_escaped(place, capsys) -> None:
    def says(asked: dict) -> str:
        return "red \x1b[31m words [bold]x" if "phrase" in asked["messages"][0]["content"] else "[]"

    words = [str(place / "dict"), "--layer", "1", "--top", "2"]
    with serving(says) as (url, _):
        rows = told(capsys, *words, "--explain-with", url, "--explain-model", "stub", "--per-minute", "99999")
    assert [row["explanation"] for row in rows["features"]] == [r"red \x1b[31m words [bold]x"] * 2
    text = shown(capsys, str(place / "dict"), rows["features"][0]["name"])
    assert "\x1b" not in text
    assert r"red \x1b[31m words [bold]x" in text
    assert told(capsys, str(place / "dict"), "-s", "red words")["features"][0]["found"] == ["explanation"]
    assert "--explain-model" in failed(capsys, 2, "features", *words, "--explain-with", url)
    (place / "dict" / "explanations.jsonl").unlink()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["features", "{d}", "926"], 2, "write layer/feature"),
        (["features", "{d}", "1/926"], 3, "No card of feature 1/926"),
        (["features", "{d}", "1/9", "--search", "x"], 2, "not both"),
        (["features", "{d}/none"], 3, "No cards at"),
        (["features", "no/such/dict"], 3, "No dictionary"),
        (["features", "{d}", "--explain-with", "file:///x", "--explain-model", "m"], 2, "no endpoint"),
        (["describe", "{d}", "--text", "none.txt", "-m", "toy", "-o", "{d}/x"], 3, "none.txt"),
        (["describe", "{d}", "--text", "{d}/config.yaml", "-m", "toy", "-o", "{d}/x"], 2, "less than one"),
        (["describe", "{d}/no", "--text", "{d}/config.yaml", "-m", "toy", "-o", "{d}/x"], 3, "No dictionary"),
        (
            ["describe", "{d}", "--text", "{t}", "--concepts", "{d}/config.yaml", "-m", "toy", "-o", "{d}/x"],
            4,
            "is no JSON",
        ),
    ],
)
def test_bad_input_is_one_sentence(place, capsys, words, code, said) -> None:
    filled = [word.format(d=place / "dict", t=place / "ids.npz") for word in words]
    assert said in failed(capsys, code, *filled)
    assert not (place / "dict" / "x").exists()


def test_interrupted_it_leaves_nothing(place, tmp_path) -> None:
    ids = np.random.default_rng(0).integers(0, 5000, 2_000_000).astype(np.uint16)
    np.save(tmp_path / "long.npy", ids)
    out = tmp_path / "cards.parquet"
    words = [
        "describe",
        str(place / "dict"),
        "-m",
        "toy",
        "--text",
        str(tmp_path / "long.npy"),
        "-o",
        str(out),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "circuits", *words], stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Reading"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.stderr.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.npy"]


def test_bars_are_logarithmic() -> None:
    assert bars([1000, 0, 1]) == "█ ▁"
    assert bars([0, 0]) == "  "
