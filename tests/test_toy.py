"""The bundled model: it answers, its graph adds up, and its hold-outs hold out."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

import pytest
import torch

import circuits
from circuits.bundled import TOY_DICTIONARIES, bundled
from circuits.errors import NotFound

DATA = Path(__file__).parent.parent / "data"
PROMPT = "The capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def geography():
    sys.path.insert(0, str(DATA))
    try:
        import geography
    finally:
        sys.path.remove(str(DATA))
    return geography


def test_it_answers_and_its_graph_adds_up() -> None:
    model = circuits.load_model("toy")
    assert model.name == "toy"
    dictionary = circuits.load_dictionary("toy", model)
    prompt = circuits.Prompt.of(PROMPT, model)
    trace = circuits.extract(model, dictionary, prompt)
    graph = circuits.attribute(trace)
    assert graph.targets == ["logit:Austin"]
    assert graph.meta["completeness_residual"] <= 1e-5
    named = [label for label in trace.labels.values() if '" Texas"' in label or '" Austin"' in label]
    assert named


def test_every_layer_is_covered_and_nothing_is_replaced_silently() -> None:
    model = circuits.load_model("toy")
    dictionary = circuits.load_dictionary("toy", model)
    assert dictionary.layers == tuple(range(model.n_layers))
    x = torch.randn(3, model.width)
    assert int((dictionary.encode(0, x).activation > 0).sum(1).max()) <= 16


def test_names_are_single_tokens() -> None:
    model = circuits.load_model("toy")
    for name in ("Dallas", "Austin", "Texas", "San Antonio", "Germany", "Euro"):
        assert len(model.encode(f" {name}")) == 2, name  # the first begins the text


def test_the_card_tells_what_was_measured() -> None:
    metrics = json.loads((bundled("toy/model") / "metrics.json").read_text())
    card = (bundled("toy") / "README.md").read_text()
    for relation in ("city to state to capital", "city to country to capital", "city to country to currency"):
        for split in ("seen", "unseen city", "unseen bridge"):
            found = metrics["accuracy"][f"{relation}, {split}"]
            assert f"{found['right']} of {found['asked']}" in card
    for domain, found in metrics["nats per token"].items():
        assert f"| {found['model']:.2f} | {found['bigram']:.2f} | {found['unigram']:.2f} |" in card, domain
    for name in ("transcoders", "clt"):
        for layer, found in metrics[name]["layers"].items():
            assert f"| {layer} | {found['FVU']:.3f} | {found['L0']:.1f} | {found['dead']:.1%} |" in card
    for name in ("sae-8x", "sae-32x", "sae-100x"):
        (found,) = metrics[name]["layers"].values()
        assert f"| `toy-{name}` | {metrics[name]['features']:,} | {found['FVU']:.3f} |" in card


def test_composed_answers_hold_for_cities_never_seen_composed() -> None:
    metrics = json.loads((bundled("toy/model") / "metrics.json").read_text())
    shares = [v["share"] for k, v in metrics["accuracy"].items() if "capital, unseen city" in k]
    assert min(shares) >= 0.9


def test_every_bundled_dictionary_opens_and_all_fit_into_25_mb() -> None:
    model = circuits.load_model("toy")
    held = {name: circuits.load_dictionary(name, model) for name in TOY_DICTIONARIES}
    assert [dictionary.spec for dictionary in held.values()] == list(TOY_DICTIONARIES)  # not where it lies
    widths = {name: dictionary.n_features for name, dictionary in held.items()}
    assert [widths[f"toy-sae-{times}x"] // model.width for times in (8, 32, 100)] == [8, 32, 100]
    assert widths["toy"] == 2048
    assert sum(file.stat().st_size for file in bundled("toy").rglob("*") if file.is_file()) <= 25e6


def test_what_is_held_out_is_never_composed(geography) -> None:
    regions = {f"S{i}": geography.Region(f"State{i}", f"Capital{i}", "state") for i in range(12)} | {
        f"C{i}": geography.Region(f"Land{i}", f"Town{i}", "country", f"Coin{i}", "Asia") for i in range(12)
    }
    cities = {f"{code}city{j}": code for code in regions for j in range(6)}
    world = geography.hold_out(regions, cities)
    assert len(world.unseen_bridges) == geography.UNSEEN_STATES + geography.UNSEEN_COUNTRIES
    splits = {city: world.split(city) for city in world.candidates}
    assert {"seen", "unseen city", "unseen bridge"} == set(splits.values())
    for code in set(regions) - world.unseen_bridges:  # every other region keeps two composed cities
        assert sum(splits[c] == "seen" for c in cities if cities[c] == code) >= 2
    text = " ".join(geography.documents(world, 3000, random.Random(0)))
    composed = set(re.findall(r"(?:of|from) the (?:state|country) containing (\w+)", text))
    assert not {city for city in composed if splits[city] != "seen"}
    assert len({city for city in composed if splits[city] == "seen"}) > 50
    said = {city for city in cities if f"{city} is in " in text}
    assert len(said) > 0.9 * len(cities)  # where they are is said of all


def test_a_missing_bundle_is_said_in_one_sentence() -> None:
    with pytest.raises(NotFound, match="lacks the bundled nothing"):
        bundled("nothing")
