"""`circuits intervene` and `circuits steer` on the bundled model, as a user meets them."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from circuits.cli.main import run
from circuits.dictionaries.load import load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.graph.io import load_run, save_run
from circuits.intervene.hold import FREE, FROZEN, Hold
from circuits.intervene.what_if import hold_of
from circuits.models.load import load_model
from circuits.prompt import Prompt

DALLAS, SEATTLE = (f"The capital of the state containing {city} is" for city in ("Dallas", "Seattle"))


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


def call(*words: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Done(code, out.getvalue(), err.getvalue())


def asked(*words: object) -> dict:
    done = call(*words, "--json", "-q")
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.engine.cache.use_compilation_cache", lambda: None)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the bundled model: dallas and seattle."""
    folder = tmp_path_factory.mktemp("runs")
    model = load_model("toy")
    dictionary = load_dictionary("toy", model)
    for name, text in (("dallas", DALLAS), ("seattle", SEATTLE)):
        trace = extract(model, dictionary, Prompt.of(text, model), Extraction(labels=False))
        save_run(attribute(trace, (Edges(),)), folder / name)
    return folder


@pytest.fixture
def dallas(runs: Path) -> Path:
    return runs / "dallas"


# ------------------------------------------------------------------------------ intervene
def test_what_the_graph_predicts_stands_beside_what_is_measured(dallas: Path) -> None:
    found = asked("intervene", dallas, "--ablate", "Dallas", "--scale", "2/1000=1")
    (row,) = found["tables"]["targets"]
    assert row["predicted"] is None  # 2/1000 is in the graph nowhere
    (row,) = asked("intervene", dallas, "--ablate", "Dallas")["tables"]["targets"]
    assert row["target"] == '" Austin"'
    assert row["predicted"] == pytest.approx(row["held"], abs=2e-3)
    assert row["free"] < -10
    assert row["free"] != pytest.approx(row["held"], abs=0.1)


def test_all_features_of_another_run_make_the_model_say_what_that_run_says(runs: Path, dallas: Path) -> None:
    theirs = load_run(runs / "seattle").meta["targets"][0]["tokens"][0]
    found = asked("intervene", dallas, "--swap", runs / "seattle", "--generate", 1)
    assert found["tables"]["outputs"][0]["token"] == json.dumps(theirs)
    assert found["tables"]["outputs"][0]["after"] > 0.9
    assert [row["writes"] for row in found["tables"]["written"]] == ['" Austin"', json.dumps(theirs)]
    assert any("does not hold" in sentence for sentence in found["finding"])


def test_each_thing_by_itself_is_a_row(dallas: Path) -> None:
    words = ("--ablate", "Dallas:zero", "--set", "tok@7=0", "--add", "3/5@8=1")
    found = asked("intervene", dallas, *words, "--each", "--hold", "frozen")
    names = ["tok@7 set to 0", "3/5@8 plus 1", "Dallas off"]
    assert [row["intervention"] for row in found["tables"]["targets"]] == names
    assert [row["intervention"] for row in found["tables"]["outputs"]] == names
    assert "free" not in found["tables"]["targets"][0]
    refused = call("intervene", dallas, *words)
    assert refused.code == 2
    assert "both say what tok@7 becomes" in refused.err


def test_text_for_people_says_what_was_done_and_what_came_of_it(dallas: Path) -> None:
    text = call("intervene", dallas, "--ablate", "Dallas:mean", "-q").out
    assert "What if Dallas at its mean?" in text
    assert "tok@7 stays as it is" in text
    assert '" Austin" (100%) gives way to' in text
    assert "The graph, where all is held, predicts" in text
    assert "TARGETS." in text
    assert "The same in Python" in text


def test_draws_follow_the_seed_and_texts_the_file(dallas: Path, tmp_path: Path) -> None:
    words = ("intervene", dallas, "--ablate", "Dallas:resample")
    first, again, other = (asked(*words, "--seed", seed)["meta"]["done"] for seed in (0, 0, 1))
    assert first == again != other
    (tmp_path / "texts.txt").write_text("The capital of the state containing Dallas is\n\n")
    mine = asked(*words, "--texts", tmp_path / "texts.txt")["meta"]["done"]
    assert mine != first


@pytest.mark.parametrize(
    ("text", "until", "expected"),
    [
        (None, None, {"held": FROZEN, "free": FREE}),
        (None, 2, {"held": Hold(True, True, True, 2), "free": FREE}),
        ("frozen", None, {"held": FROZEN}),
        ("nothing", None, {"free": FREE}),
        ("patterns, norms", 1, {"held": Hold(True, True, False, 1)}),
        ("mlps", None, {"held": Hold(mlps=True)}),
    ],
)
def test_what_is_held_is_read_as_written(text: str | None, until: int | None, expected: dict) -> None:
    assert hold_of(text, until, 4) == expected


@pytest.mark.parametrize(
    ("text", "until", "said"),
    [
        ("norm", None, "Did you mean 'norms'"),
        ("", None, "hold patterns, norms, mlps"),
        ("frozen,norms", None, "'frozen'"),
        ("nothing", 1, "leave --until out"),
        ("norms", 4, "the model has layers 0 to 3"),
        (None, -1, "the model has layers 0 to 3"),
    ],
)
def test_what_cannot_be_held_is_refused(text: str | None, until: int | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        hold_of(text, until, 4)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "Nothing is done"),
        (("--set", "0/1@7"), 2, "has no number"),
        (("--set", "0/1@7=NaN"), 2, "finite number"),
        (("--set", "Dalas=1"), 3, "Did you mean 'Dallas'?"),
        (("--set", "0/1@9=1"), 3, "the prompt has 9 tokens"),
        (("--set", "0/2048=1"), 3, "this dictionary has 2,048"),
        (("--set", "4/1=1"), 3, "layers 0 to 3"),
        (("--scale", "logit:Austin=2"), 2, "is an output"),
        (("--add", "bias:own=2"), 2, "a constant"),
        (("--ablate", "Dallas:maen"), 2, "write zero, mean or resample"),
        (("--swap", "nowhere"), 3, "there is no run 'nowhere'"),
        (("--set", "0/1@7=1", "--hold", "normz"), 2, "Did you mean 'norms'"),
        (("--set", "0/1@7=1", "--texts", "nowhere.txt"), 3, "No file 'nowhere.txt'"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_model_is_loaded(
    dallas: Path, words: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded for nothing")

    monkeypatch.setattr("circuits.cli.again.loaded", never)
    refused = call("intervene", dallas, *words)
    assert refused.code == code
    assert said in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not refused.out


@pytest.mark.parametrize("command", [("intervene", "--set", "0/1@7=0"), ("steer", "--toward", " Salem")])
def test_another_model_is_refused_or_marked_and_no_model_is_told(
    dallas: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    graph = load_run(dallas)
    other = {**graph.meta["dictionary"], "fingerprint": "0" * 16}
    save_run(graph.with_meta(dictionary=other), tmp_path / "other")
    save_run(graph.with_meta(model=None), tmp_path / "foreign")
    name, *words = command
    refused = call(name, tmp_path / "other", *words, "-q")
    assert refused.code == 4
    assert "no longer the dictionary the run was made with" in refused.err
    assert "--force" in refused.err
    refused = call(name, tmp_path / "foreign", *words, "-q")
    assert refused.code == 4
    assert "attribute the prompt itself, with --model and --dictionary" in refused.err
    if name == "intervene":
        done = call(name, tmp_path / "other", *words, "-q", "--force")
        assert done.code == 0, done.err
        assert done.out.startswith("Forced: toy is no longer the dictionary")


# ------------------------------------------------------------------------------ steer
def test_another_capital_is_said_and_the_command_told_does_it_again(dallas: Path) -> None:
    found = asked("steer", dallas, "--toward", " Salem", "--budget", 2)
    assert found["meta"]["works"] is True
    gap = found["meta"]["gap"]
    assert gap["predicted"] == pytest.approx(gap["measured_frozen"], abs=1e-2)
    assert gap["before"] < 0 < gap["measured_free"]
    assert found["meta"]["side_effects"]["texts"] == 40
    assert found["tables"]["outputs"][0]["token"] == '" Salem"'
    model = load_model("toy")
    with torch.no_grad():
        own = model.module(torch.tensor([model.encode(DALLAS)])).logits[0, -1]
    assert model.decode(int(own.argmax())) == " Austin"
    _, *again = shlex.split(found["command"])
    repeated = asked(*again)
    assert repeated["tables"]["outputs"][0]["token"] == '" Salem"'
    assert repeated["tables"]["outputs"][0]["after"] == pytest.approx(
        found["tables"]["outputs"][0]["after"], abs=1e-3
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--toward", " Austin"), 2, "the likeliest output already"),
        (("--toward", " Timbuktu"), 2, "a target is one"),
        (("--toward", " Salem", "--budget", "0"), 2, "give 1 or more"),
        (("--toward", " Salem", "--strongest", "0.5"), 2, "factor above 1"),
        ((), 2, "Missing option"),
    ],
)
def test_steering_that_cannot_be_is_refused(
    dallas: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    refused = call("steer", dallas, *words, "-q")
    assert refused.code == code
    assert said in refused.err
    assert not refused.out


def test_both_commands_are_in_the_help() -> None:
    text = call("--help").out
    assert "intervene" in text
    assert "steer" in text
    assert np.all([word in call("intervene", "--help").out for word in ("--swap", "--generate", "--until")])
