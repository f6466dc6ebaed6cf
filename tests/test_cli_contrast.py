"""`circuits contrast` as its users meet it."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from pathlib import Path

import pytest
from sample_graph import sample_graph
from strategies import random_graph

import circuits
from circuits.cli.main import run
from circuits.graph.graph import Graph
from circuits.graph.io import save_run


def call(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def prompted(graph: Graph, *tokens: str) -> Graph:
    prompt = {"text": "".join(tokens).strip(), "ids": list(range(len(tokens))), "tokens": list(tokens)}
    return graph.with_meta(prompt=prompt, dictionary={"fingerprint": "same"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    graphs = {
        "dallas": prompted(random_graph(1), "In", " Dallas", " is"),
        "seattle": prompted(random_graph(2), "In", " Seattle", " is"),
        "longer": prompted(random_graph(3, tokens=4), "In", " San", " Jose", " is"),
        "mary": sample_graph(),
        "other": random_graph(2).with_meta(dictionary={"fingerprint": "another", "spec": "other"}),
    }
    for name, graph in graphs.items():
        save_run(graph, place / name)
    return {name: place / name for name in graphs}


def test_two_prompts_are_compared_in_words(runs: dict[str, Path]) -> None:
    code, out, err = call("contrast", runs["dallas"], runs["seattle"])
    assert (code, err) == (0, "")
    assert 'with " Dallas"' in out
    assert 'with " Seattle"' in out
    assert 'The prompts differ in " Dallas" for " Seattle".' in out
    for table in ("TOTALS", "WORDS", "FEATURES", "EDGES", "TRUST"):
        assert table in out
    assert "The graph predicts" in out
    line = next(line for line in out.splitlines() if line.strip().startswith("circuits intervene"))
    words = shlex.split(line.split("  #")[0])
    assert words[:3] == ["circuits", "intervene", str(runs["dallas"])]
    assert words[3] == "--swap"
    assert words[4].startswith(f"{runs['seattle']}:")


def test_json_is_the_answer_of_python(runs: dict[str, Path]) -> None:
    code, out, _ = call("contrast", runs["dallas"], runs["seattle"], "--json", "--top", 3)
    assert code == 0
    document = json.loads(out)
    graph, other = (circuits.load_run(runs[name]) for name in ("dallas", "seattle"))
    answer = circuits.contrast(graph, other, top=3)
    assert document["finding"] == list(answer.finding)
    assert document["meta"]["difference"] == pytest.approx(answer.meta["difference"])
    assert len(document["tables"]["features"]) == 3


def test_the_python_it_prints_gives_the_same(runs: dict[str, Path]) -> None:
    code, out, _ = call("contrast", runs["dallas"], runs["longer"], "--align", "text", "--json")
    assert code == 0
    document = json.loads(out)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(document["code"], {})
    assert document["finding"][0].split(";")[0] in printed.getvalue().replace("\n  ", " ")


def test_alignments_are_taken_as_written(runs: dict[str, Path]) -> None:
    both = runs["dallas"], runs["longer"]
    for align, pairs in (
        ("end", [[0, 1], [1, 2], [2, 3]]),
        ("start", [[0, 0], [1, 1], [2, 2]]),
        ("text", [[0, 0], [1, 2], [2, 3]]),
        ("0:0,2:3", [[0, 0], [2, 3]]),
    ):
        code, out, _ = call("contrast", *both, "--align", align, "--json")
        assert code == 0
        document = json.loads(out)
        tokens = [row["word"] for row in document["tables"]["words"]]
        assert tokens.count("—") == 4 - len(pairs)
        if align in ("text", "0:0,2:3"):
            assert (
                "--set" in json.dumps(document["meta"]["commands"]) or not document["meta"]["swaps"]["values"]
            )


def test_two_outputs_of_one_run(runs: dict[str, Path]) -> None:
    code, out, _ = call("contrast", runs["mary"], runs["mary"], "--target", "Mary", "--other-target", "John")
    assert code == 0
    assert out.startswith('Why " Mary" and not " John"?')
    assert "features push both directly" in out
    code, out, _ = call("contrast", runs["mary"], runs["mary"])
    assert code == 0
    assert "There is no difference" in out
    assert "name both" in out
    assert "TOTALS" not in out


def test_one_output_over_another_in_both_runs(runs: dict[str, Path]) -> None:
    asked = ("--target", "logit: 0", "--over", "logit: 1", "--json")
    code, out, _ = call("contrast", runs["dallas"], runs["seattle"], *asked)
    assert code == 0
    document = json.loads(out)
    values = [
        graph.nodes["pre_activation"][graph.row("logit: 0")]
        - graph.nodes["pre_activation"][graph.row("logit: 1")]
        for graph in (circuits.load_run(runs[name]) for name in ("dallas", "seattle"))
    ]
    assert document["meta"]["values"] == pytest.approx(values)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("dallas", "nothing"), 3, "No run at"),
        (("dallas", "seattle", "--align", "ends"), 2, "Did you mean 'end'?"),
        (("dallas", "seattle", "--align", "0:9"), 2, "no position 9: its 3 tokens"),
        (("dallas", "seattle", "--align", "1:1,0:2"), 2, "do not both go forward"),
        (("dallas", "seattle", "--target", "Paris"), 3, "circuits attribute"),
        (("dallas", "seattle", "--over", "logit: 1"), 2, "--over goes with --target alone"),
        (("dallas", "other"), 4, "different dictionaries, one (same) and other (another)"),
        (("dallas", "seattle", "--top", "0"), 2, "--top"),
    ],
)
def test_refusals_are_one_sentence(
    runs: dict[str, Path], words: tuple[str, ...], code: int, said: str
) -> None:
    placed = [runs.get(word, runs["mary"].parent / word) for word in words[:2]]
    found, out, err = call("contrast", *placed, *words[2:])
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_other_dictionaries_may_be_taken_for_the_same(runs: dict[str, Path]) -> None:
    code, out, _ = call("contrast", runs["dallas"], runs["other"], "--same-features", "--json")
    assert code == 0
    assert "same_features(other, graph)" in json.loads(out)["code"]


def test_two_runs_are_drawn(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "difference.svg"
    code, said, _ = call("plot", runs["dallas"], "--against", runs["seattle"], "-o", out, "--json")
    assert code == 0
    assert json.loads(said)["kind"] == "diff"
    assert "side:only here" in out.read_text()
    for words in (("--kind", "diff"), ("--kind", "upset", "--against", runs["seattle"])):
        code, _, err = call("plot", runs["dallas"], *words, "-o", tmp_path / "none.svg")
        assert code == 2
        assert "--against RUN2" in err
    code, _, err = call("plot", runs["dallas"], "--against", runs["dallas"], "-o", tmp_path / "none.svg")
    assert code == 2
    assert "Nothing differs" in err
    assert not (tmp_path / "none.svg").exists()
