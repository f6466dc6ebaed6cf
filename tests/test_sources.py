"""Values from elsewhere, against what a hook on the module sees; and how interventions are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tiny_dictionaries import N_FEATURES, write_transcoders
from tiny_models import tiny_model

from circuits.dictionaries.load import load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import CircuitsError, Incompatible, NotFound, UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.graph.actions import Affine, Intervention
from circuits.graph.graph import Graph
from circuits.graph.predict import predict
from circuits.intervene.carry import Settings, carried
from circuits.intervene.neutral import NEUTRAL
from circuits.intervene.session import Session
from circuits.intervene.sources import mean, resample, sample, swap
from circuits.intervene.written import asked, nodes_named, together
from circuits.prompt import Prompt
from circuits.schema import feature_name

TEXT, OTHER = "one two three four five", "six seven three nine"
TEXTS = ("a quick brown fox", "jumps over the lazy dog", "again")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Session:
    model = tiny_model("llama")
    path = write_transcoders(tmp_path_factory.mktemp("tiny") / "t", model, "jumprelu")
    dictionary = load_dictionary(str(path), model)
    return Session.of(model, dictionary, graph_of(model, dictionary, TEXT))


def graph_of(model, dictionary, text: str) -> Graph:
    trace = extract(model, dictionary, Prompt.of(text, model), Extraction(labels=False))
    return attribute(trace, (Edges(tolerance=0.0),))


@pytest.fixture(scope="module")
def other(tiny: Session) -> Graph:
    return graph_of(tiny.model, tiny.dictionary, OTHER)


def seen(session: Session, text: str, layer: int) -> np.ndarray:
    """What a hook on the module sees go into an MLP, through the encoder as it is written on disk."""
    caught = {}
    mlp = session.model.module.model.layers[layer].mlp
    hook = mlp.register_forward_pre_hook(lambda _, inputs: caught.update(x=inputs[0][0]))
    with torch.no_grad():
        session.model.module(torch.tensor([session.model.encode(text)]))
    hook.remove()
    from safetensors.torch import load_file

    on_disk = load_file(Path(session.dictionary.spec) / f"layer_{layer}.safetensors")
    z = caught["x"] @ on_disk["W_enc"].T + on_disk["b_enc"]
    return torch.where(z > on_disk["activation_function.threshold"], z, 0).numpy()


def features(session: Session, layer: int, position: int) -> list[str]:
    return [feature_name(layer, i, position) for i in range(N_FEATURES)]


# ------------------------------------------------------------------------------ mean, resample
@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("position", [0, 3])
def test_the_mean_is_over_first_places_for_the_first_and_over_all_others_else(
    tiny: Session, layer: int, position: int
) -> None:
    parts = [seen(tiny, text, layer) for text in TEXTS]
    rows = np.concatenate([part[:1] if position == 0 else part[1:] for part in parts])
    found = mean(tiny, features(tiny, layer, position), texts=TEXTS)
    assert [done.scale for done in found.values()] == [0.0] * N_FEATURES
    assert np.allclose([done.offset for done in found.values()], rows.mean(axis=0), atol=1e-5)
    assert np.abs(rows.mean(axis=0)).max() > 0.1


def test_a_feature_without_a_position_is_set_at_every_place(tiny: Session) -> None:
    found = mean(tiny, ["1/5"], texts=TEXTS)
    assert list(found) == [feature_name(1, 5, p) for p in range(5)]
    assert found["1/5@1"] == found["1/5@4"] != found["1/5@0"]


def test_a_draw_is_one_place_for_all_features_together(tiny: Session) -> None:
    names = [*features(tiny, 1, 2), *features(tiny, 2, 2)]
    rows = np.concatenate([np.hstack([seen(tiny, text, 1)[1:], seen(tiny, text, 2)[1:]]) for text in TEXTS])
    drawn = set()
    for seed in range(12):
        values = np.array([done.offset for done in resample(tiny, names, seed=seed, texts=TEXTS).values()])
        distance = np.abs(rows - values).max(axis=1)
        assert distance.min() < 1e-5  # a place of the texts, whole
        drawn.add(int(distance.argmin()))
    assert len(drawn) > 2  # seeds differ
    assert resample(tiny, names, seed=3, texts=TEXTS) == resample(tiny, names, seed=3, texts=TEXTS)


def test_first_places_are_drawn_from_first_places(tiny: Session) -> None:
    first = np.concatenate([seen(tiny, text, 0)[:1] for text in TEXTS])
    for seed in range(5):
        drawn = resample(tiny, features(tiny, 0, 0), seed=seed, texts=TEXTS)
        values = np.array([done.offset for done in drawn.values()])
        assert np.abs(first - values).max(axis=1).min() < 1e-5


def test_the_same_draw_whichever_features_are_asked_for(tiny: Session) -> None:
    names = features(tiny, 1, 3)
    some = resample(tiny, names, seed=1, texts=TEXTS)
    more = resample(tiny, ["1/5@2", *names, *features(tiny, 2, 3), "1/5@4"], seed=1, texts=TEXTS)
    assert some.items() <= more.items()


def test_texts_without_a_second_token_are_refused(tiny: Session) -> None:
    with pytest.raises(UsageError, match="single token"):
        mean(tiny, ["1/5@2"], texts=["again"])
    with pytest.raises(UsageError, match="one or more"):
        sample(tiny.model, tiny.dictionary, [], [(0, 1)])
    with pytest.raises(UsageError, match="tok@2 is no feature"):
        mean(tiny, ["tok@2"], texts=TEXTS)


def test_the_texts_that_ship_are_short_and_differ() -> None:
    assert len(NEUTRAL) == len(set(NEUTRAL)) == 40
    assert all(5 <= len(text.split()) <= 12 and text[0].isupper() for text in NEUTRAL)


# ------------------------------------------------------------------------------ swap
@pytest.mark.parametrize(("align", "shift"), [("end", -1), ("start", 0)])
def test_swapped_features_have_the_values_of_the_other_prompt(
    tiny: Session, other: Graph, align, shift: int
) -> None:
    """The other prompt is one token shorter: from the end, its place p is this one's p + 1."""
    there = [seen(tiny, OTHER, layer) for layer in range(3)]
    found = swap(tiny, other, ["0/3", "2/7@3", "1/9@0"], align=align)
    for position in range(5):
        at = position + shift
        if 0 <= at < 4:
            assert found[f"0/3@{position}"].offset == pytest.approx(there[0][at, 3], abs=1e-5)
        else:
            assert f"0/3@{position}" not in found
    assert found["2/7@3"].offset == pytest.approx(there[2][3 + shift, 7], abs=1e-5)
    assert ("1/9@0" in found) == (align == "start")


def test_all_features_are_those_of_either_prompt(tiny: Session, other: Graph) -> None:
    found = swap(tiny, other)
    for layer in range(3):
        here, there = (seen(tiny, text, layer) for text in (TEXT, OTHER))
        expected = {
            feature_name(layer, int(f), p): there[p - 1, f]
            for p in range(1, 5)
            for f in np.flatnonzero((here[p] != 0) | (there[p - 1] != 0))
        }
        mine = {node: done.offset for node, done in found.items() if node.startswith(f"{layer}/")}
        assert mine.keys() == expected.keys()
        assert all(mine[node] == pytest.approx(expected[node], abs=1e-5) for node in mine)
    off = [done for done in found.values() if done.offset == 0]
    assert off  # on here, off there


def test_swapped_with_itself_nothing_changes(tiny: Session) -> None:
    graph = tiny.graph
    same = Intervention.of("itself", swap(tiny, graph))
    on = graph.nodes.filter(kind="feature")
    assert len(same.nodes) == len(on)
    known = dict(on.select("node", "activation").iter_rows())
    assert all(done.offset == pytest.approx(known[node], abs=1e-5) for node, done in same.nodes.items())
    before = graph.nodes.filter(pl.col("node").is_in(graph.targets))
    values = dict(before.select("node", "pre_activation").iter_rows())
    assert predict(graph, [same])[0] == pytest.approx([values[t] for t in graph.targets], abs=1e-4)


def test_with_every_feature_the_others_the_outputs_own_inputs_are_what_is_left(
    tiny: Session, other: Graph
) -> None:
    """z = Σ strength · value there, over features; over all else (and the first place) the weight here."""
    graph = tiny.graph
    done = {n: d for n, d in swap(tiny, other).items() if n in graph.index}
    edges = graph.edges.cast({"source": pl.String, "target": pl.String})
    expected = []
    for target in graph.targets:
        total = 0.0
        for source, weight, strength in (
            edges.filter(target=target).select("source", "weight", "strength").iter_rows()
        ):
            total += strength * done[source].offset if source in done else weight
        expected.append(total)
    assert predict(graph, [Intervention("as there", done)])[0] == pytest.approx(expected, abs=1e-4)


def test_runs_of_other_models_and_other_dictionaries_are_not_swapped(tiny: Session, other: Graph) -> None:
    for what, plural in (("model", "models"), ("dictionary", "dictionaries")):
        entry = {**other.meta[what], "fingerprint": "another"}
        foreign = replace(other, meta={**other.meta, what: entry})
        with pytest.raises(Incompatible, match=f"different {plural}"):
            swap(tiny, foreign)
    with pytest.raises(Incompatible, match="attribute the prompt anew"):
        swap(tiny, other.with_meta(prompt=None))


# ------------------------------------------------------------------------------ as they are written
def named(graph: Graph) -> Graph:
    """The graph with a concept and labels, so that names mean something."""
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    return graph.with_nodes(
        concept=pl.when(pl.col("node").is_in([*features[:2], "tok@1"])).then(pl.lit("texas")),
        label=pl.when(pl.col("node") == features[5])
        .then(pl.lit("a city"))
        .when(pl.col("node") == features[6])
        .then(pl.lit("a city of old")),
    )


@pytest.mark.parametrize(
    ("verb", "text", "error", "said"),
    [
        ("set", "x", UsageError, "'x' has no number: write NAME=NUMBER"),
        ("set", "=1", UsageError, "has no number"),
        ("set", "1/5@2=high", UsageError, "'high' is no number"),
        ("set", "1/5@2=", UsageError, "'' is no number"),
        ("scale", "1/5@2=nan", UsageError, "nan is no activation"),
        ("add", "1/5@2=-inf", UsageError, "-inf is no activation"),
        ("set", "txas=0", NotFound, "Did you mean 'texas'?"),
        ("set", "town=0", NotFound, "Nothing is called town"),
        ("set", "city=0", UsageError, "means 2 things"),
        ("set", "1/5@5=0", NotFound, "no position 5: the prompt has 5 tokens, 0 to 4"),
        ("set", "3/5@2=0", NotFound, "no features in layer 3: this dictionary has layers 0 to 2"),
        ("set", "1/40=0", NotFound, "no feature 40 at layer 1: this dictionary has 40"),
        ("set", "bias:own=0", UsageError, "bias:own is a constant"),
        ("scale", "rest=2", UsageError, "rest is a constant"),
        ("set", "tok@9=0", NotFound, "tok@9: no position 9"),
        ("ablate", "texas:meen", UsageError, "'meen' is no way to ablate: write zero, mean or resample"),
        ("ablate", "1/5@2:average", UsageError, "no way to ablate"),
        ("ablate", "", UsageError, "empty"),
        ("swap", "nowhere:texas", NotFound, "there is no run 'nowhere'"),
    ],
)
def test_what_is_written_wrongly_is_refused_in_a_sentence(
    tiny: Session, verb, text: str, error: type[CircuitsError], said: str
) -> None:
    with pytest.raises(error) as caught:
        asked(named(tiny.graph), verb, text)
    assert said in str(caught.value)


def test_outputs_are_refused(tiny: Session) -> None:
    with pytest.raises(UsageError, match="is an output"):
        asked(tiny.graph, "set", f"{tiny.graph.targets[0]}=0")


def test_what_is_written_means_nodes(tiny: Session, tmp_path: Path) -> None:
    graph = named(tiny.graph)
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    texas = tuple(sorted([*features[:2], "tok@1"], key=graph.row))
    assert asked(graph, "set", "texas=2.5").nodes == texas
    assert asked(graph, "set", "texas=2.5").amount == 2.5
    assert nodes_named(graph, "a city") == (features[5],)
    assert nodes_named(graph, "2/39@4") == ("2/39@4",)  # in the graph or not
    assert nodes_named(graph, "2/39") == ("2/39",)
    found = asked(graph, "ablate", "texas:resample")
    assert (found.name, found.way, found.nodes) == ("texas", "resample", texas)
    assert asked(graph, "ablate", "token:t67").nodes == nodes_named(graph, "t67")  # a colon of the name
    run = tmp_path / "a:b"
    run.mkdir()
    assert asked(graph, "swap", f"{run}:texas").run == run
    assert asked(graph, "swap", f"{run}").nodes is None
    assert asked(graph, "swap", f"{run}:token:t67").name == "token:t67"


def test_values_are_set_then_scaled_then_added_to_however_they_were_written(tiny: Session) -> None:
    parts = [carried(tiny, asked(tiny.graph, *one)) for one in [
        ("add", "1/5@2=1"), ("scale", "1/5@2=3"), ("set", "1/5@2=2"), ("scale", "0/1@1=2"),
    ]]  # fmt: skip
    done = together([(part.asked, part.done) for part in parts])
    assert done.nodes["1/5@2"] == Affine(0.0, 7.0)
    assert done.nodes["0/1@1"] == Affine(2.0, 0.0)


@pytest.mark.parametrize(("one", "two"), [("1/5@2=1", "1/5@2=2"), ("1/5=1", "1/5@2=2"), ("1/5@2=1", "1/5=2")])
def test_a_node_is_set_once(tiny: Session, one: str, two: str) -> None:
    parts = [carried(tiny, asked(tiny.graph, "set", text)) for text in (one, two)]
    with pytest.raises(UsageError, match="leave one of them out"):
        together([(part.asked, part.done) for part in parts])


def test_a_concepts_words_have_no_mean_and_stay(tiny: Session) -> None:
    graph = named(tiny.graph)
    session = replace(tiny, graph=graph)
    found = carried(session, asked(graph, "ablate", "texas:mean"), Settings(TEXTS))
    features = [node for node in nodes_named(graph, "texas") if node != "tok@1"]
    assert list(found.done) == features
    assert found.left == ("tok@1",)
    assert dict(found.done) == mean(session, features, texts=TEXTS)
    with pytest.raises(UsageError, match="names no feature"):
        carried(session, asked(graph, "ablate", "tok@1:mean"), Settings(TEXTS))


def test_of_a_swap_what_has_no_counterpart_is_told(tiny: Session, other: Graph, tmp_path: Path) -> None:
    other.save(tmp_path / "other")
    found = carried(tiny, asked(tiny.graph, "swap", f"{tmp_path / 'other'}:layer:1"))
    layer = nodes_named(tiny.graph, "layer:1")
    assert found.left == tuple(node for node in layer if node.endswith("@0")) != ()
    assert set(found.done) == set(layer) - set(found.left)
    alone = asked(tiny.graph, "swap", f"{tmp_path / 'other'}:{found.left[0]}")
    with pytest.raises(UsageError, match="no place of this prompt"):
        carried(tiny, alone)
