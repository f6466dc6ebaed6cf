"""The model a run was made from, loaded again: the same, refused, or forced and told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample_graph import sample_graph

from circuits.cli import again
from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.models.load import load_model
from circuits.prompt import Prompt


def silent(*_: object) -> None:
    """Hears nothing."""


@pytest.fixture(scope="module")
def run() -> Graph:
    """A graph that says it was made from the toy model with its transcoders, and its neurons."""
    from circuits.dictionaries.load import load_dictionary

    model = load_model("toy")
    prompt = Prompt.of("The capital of the state containing Dallas is", model)
    return sample_graph().with_meta(
        model={"spec": "toy", "fingerprint": model.fingerprint},
        dictionary=load_dictionary("toy", model).record(),
        prompt={"text": prompt.text, "ids": prompt.ids, "tokens": prompt.tokens},
        dtype="float32",
    )


def changed(graph: Graph, what: str, **entries: object) -> Graph:
    return replace(graph, meta={**graph.meta, what: {**graph.meta[what], **entries}})


def test_model_and_dictionary_are_the_runs_own(run: Graph) -> None:
    model, dictionary, forced = again.loaded(run, silent)
    assert model.fingerprint == run.meta["model"]["fingerprint"]
    assert dictionary.fingerprint == run.meta["dictionary"]["fingerprint"]
    assert forced == ()
    double, _, _ = again.loaded(run.with_meta(dtype="float64"), silent, force=True)
    assert str(double.dtype) == "torch.float64"


@pytest.mark.parametrize("what", ["model", "dictionary"])
def test_another_fingerprint_is_refused_unless_forced_and_then_told(run: Graph, what: str) -> None:
    other = changed(run, what, fingerprint="0" * 32)
    with pytest.raises(Incompatible, match=rf"toy is no longer the {what} the run was made with.*--force"):
        again.loaded(other, silent)
    with pytest.raises(Incompatible, match=r"attribute anew\.$"):
        again.loaded(other, silent, force=None)
    _, _, forced = again.loaded(other, silent, force=True)
    assert len(forced) == 1
    assert forced[0].startswith(f"Forced: toy is no longer the {what}")


def test_another_model_with_its_neurons_is_told_once(run: Graph) -> None:
    model = {"spec": "toy", "fingerprint": "0" * 32}
    neurons = {"kind": "neurons", "spec": "neurons", "fingerprint": "neurons:" + "0" * 32}
    _, _, forced = again.loaded(run.with_meta(model=model, dictionary=neurons), silent, force=True)
    assert [sentence.split(" (")[0] for sentence in forced] == [
        "Forced: toy is no longer the model the run was made with"
    ]


@pytest.mark.parametrize("lacking", ["model", "dictionary", "prompt"])
def test_a_run_that_names_no_model_says_how_to_get_one_that_does(run: Graph, lacking: str) -> None:
    with pytest.raises(Incompatible, match="--model and --dictionary"):
        again.loaded(run.with_meta(**{lacking: None}), silent, force=True)
