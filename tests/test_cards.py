"""Cards say what counting by hand says, for every kind of dictionary; their store keeps and refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import planted_cards as planted
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from tiny_dictionaries import write_transcoders
from tiny_models import VOCABULARY, tiny_model
from tiny_saes import tiny_clt, tiny_sae

from circuits.cards.apply import label_features
from circuits.cards.best import Best
from circuits.cards.describe import describe
from circuits.cards.neuronpedia import export
from circuits.cards.search import search
from circuits.cards.settings import Describing
from circuits.cards.store import cards_path, find_cards, load_cards, save_cards
from circuits.cards.text import Text, load_text
from circuits.dictionaries.load import load_dictionary
from circuits.errors import CircuitsError, Incompatible, InvalidFile, NotFound, UsageError
from circuits.extraction.extract import extract
from circuits.models.sites import capture
from circuits.prompt import Prompt

HOW = Describing(top=3, before=3, after=2, sample=16, at_once=3)
KINDS = ("neurons", "relu", "jumprelu", "topk", "skip", "clt", "sae-relu", "sae-abstopk")


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def text():
    ids = np.random.default_rng(3).integers(0, VOCABULARY, (20, 12))
    return Text(ids, np.arange(20) % 2, ("a", "b"), "random")


def dictionary(kind, model, path):
    if kind == "neurons":
        return load_dictionary("neurons", model)
    if kind == "clt":
        return tiny_clt(model)
    if kind.startswith("sae"):
        return tiny_sae(model, "block_out", kind.removeprefix("sae-"))
    return load_dictionary(str(write_transcoders(path / kind, model, kind)), model)


@pytest.fixture(scope="module")
def made(model, text):
    return describe(model, tiny_clt(model), text, {"some": {"tokens": ["t1", "t2"]}}, HOW)


def test_the_best_of_a_stream_are_the_best_of_all() -> None:
    dice = np.random.default_rng(0)
    best, every = Best(5, 4, 1), []
    for batch in range(12):
        row, key = dice.integers(0, 5, 40), dice.random(40).astype(np.float32)
        group = batch * 3 + dice.integers(0, 3, 40)
        at = np.arange(40) + 40 * batch
        chosen = best.entering(row, key, group)
        best.add(row[chosen], key[chosen], at[chosen], key[chosen, None] * 2)
        every += zip(row.tolist(), group.tolist(), key.tolist(), at.tolist(), strict=True)
    for row in range(5):
        groups: dict[int, tuple[float, int]] = {}
        for r, group, key, at in every:
            if r == row:
                groups[group] = max(groups.get(group, (0.0, 0)), (key, at))
        wanted = sorted(groups.values(), reverse=True)[:4]
        order = best.order()[row]
        assert best.at[row, order].tolist() == [at for _, at in wanted]
        np.testing.assert_array_equal(best.around[row, order, 0], [np.float32(k) * 2 for k, _ in wanted])


def test_what_is_forgotten_makes_room() -> None:
    best = Best(1, 2, 1)
    best.add(np.zeros(2, int), np.array([0.9, 0.8], np.float32), np.arange(2), np.zeros((2, 1)))
    assert len(best.entering(np.zeros(1, int), np.array([0.1], np.float32))) == 0
    best.drop(best.at == 0)
    assert best.entering(np.zeros(1, int), np.array([0.1], np.float32)).tolist() == [0]
    assert sorted(best.at[0].tolist()) == [-1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_cards_are_what_counting_by_hand_gives(kind, model, text, tmp_path) -> None:
    coders = dictionary(kind, model, tmp_path)
    cards = describe(model, coders, text, None, HOW)
    choosing = text.choosing()
    assert len(cards) == coders.n_features * len(coders.layers)
    for layer in coders.layers:
        place = (layer, coders.read_site)
        x = capture(model, torch.from_numpy(text.ids), [place])[place][:, 1:-1]
        a = coders.encode(layer, x.flatten(0, 1)).activation.view(*x.shape[:2], -1).double().numpy()
        for feature in range(0, coders.n_features, 7):
            card, mine = cards.card(layer, feature), a[..., feature]
            assert card.frequency == pytest.approx((mine > 0).mean())
            assert card.negative == pytest.approx((mine < 0).mean())
            assert card.maximum == pytest.approx(max(mine.max(), 0), rel=1e-5)
            largest = max(mine[choosing].max(), 0)
            assert card.half == pytest.approx(largest / 2, rel=1e-5)
            if largest:
                tested = mine[~choosing]
                bar = np.minimum(tested[tested > 0] * 10 / largest, 9.999).astype(int)
                assert list(card.bars) == np.bincount(bar, minlength=10).tolist()
            _check_contexts(card, mine, text, model)


def _check_contexts(card, mine, text, model) -> None:
    best = np.sort(mine.max(axis=1))[::-1]
    wanted = [value for value in best[: HOW.top] if value > 0]
    assert [c.values[c.at] for c in card.top] == pytest.approx(wanted, abs=card.maximum / 400)
    fifths = [context.fifth for context in card.contexts]
    assert fifths == sorted(fifths, reverse=True)
    for context in card.contexts:
        value = context.values[context.at]
        ids = [int(token[1:]) for token in context.tokens]
        places = [
            (row, start)
            for row in range(len(text))
            for start in range(text.length - len(ids) + 1)
            if text.ids[row, start : start + len(ids)].tolist() == ids
            and 1 <= start + context.at <= text.length - 2
            and abs(max(mine[row, start + context.at - 1], 0) - value) <= card.maximum / 400
        ]
        assert places, "the context is a piece of the text, with the activation it has there"
        row, start = places[0]
        around = [
            max(mine[row, start + i - 1], 0) if 1 <= start + i <= text.length - 2 else 0
            for i in range(len(ids))
        ]
        assert context.values == pytest.approx(around, abs=card.maximum / 400)
        if context.fifth < 5:
            assert context.fifth - 1 <= value / (2 * card.half) * 5 + 0.05
            assert value / (2 * card.half) * 5 <= context.fifth + 0.05


@pytest.mark.parametrize("kind", ["clt", "relu", "neurons"])
def test_promoted_tokens_are_those_of_the_logit_lens(kind, model, text, tmp_path) -> None:
    coders = dictionary(kind, model, tmp_path)
    cards = describe(model, coders, text, None, HOW)
    layer, anatomy = coders.layers[1], model.anatomy
    written = sum(term.rows.all() for term in coders.write_terms(layer, torch.zeros(1, model.width)))
    scores = (written * anatomy.final_norm.gain) @ anatomy.unembedding.T
    scores -= scores.mean(dim=1, keepdim=True)
    for feature in (0, 5, 11):
        card = cards.card(layer, feature)
        order = scores[feature].argsort(descending=True)
        assert [token for token, _ in card.promoted] == [f"t{i}" for i in order[:8].tolist()]
        assert [token for token, _ in card.suppressed] == [f"t{i}" for i in order.flip(0)[:5].tolist()]
        best = scores[feature][order[:8]].numpy()
        np.testing.assert_allclose([by for _, by in card.promoted], best, rtol=2**-7)


def test_how_many_sequences_run_together_changes_no_count(model, text) -> None:
    one, other = (describe(model, tiny_clt(model), text, None, replace(HOW, at_once=n)) for n in (1, 20))
    same = ["frequency", "maximum", "half", "bars", "promoted"]
    assert_frame_equal(one.table.select(same), other.table.select(same), rel_tol=1e-5)


def test_a_store_gives_back_what_it_was_given(made, tmp_path) -> None:
    path = tmp_path / "cards.parquet"
    save_cards(made, path)
    read = load_cards(path, fingerprint="clt-relu")
    assert_frame_equal(read.table, made.table)
    assert list(read)[7] == list(made)[7]
    with pytest.raises(CircuitsError, match="exists"):
        save_cards(made, path)
    with pytest.raises(Incompatible, match="another dictionary"):
        load_cards(path, fingerprint="relu-clt")
    with pytest.raises(NotFound, match=r"0, 1, 2 with 40 features each"):
        read.card(7, 1)
    with pytest.raises(NotFound, match="circuits describe"):
        load_cards(tmp_path / "none.parquet")


def damaged(made, how, path) -> None:
    save_cards(made, path)
    header = json.loads(pl.read_parquet_metadata(path)["circuits"])
    table = made.table
    match how:
        case "truncated":
            path.write_bytes(path.read_bytes()[:-100])
            return
        case "plain":
            table.write_parquet(path)
            return
        case "version":
            header["version"] = 2
        case "header":
            del header["token_ids"]
        case "column":
            table = table.drop("bars")
        case "type":
            table = table.with_columns(pl.col("maximum").cast(pl.String))
    table.write_parquet(path, metadata={"circuits": json.dumps(header)})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "no whole file"),
        ("plain", "holds no cards"),
        ("version", "version 2"),
        ("header", "lacks token_ids"),
        ("column", "lacks bars"),
        ("type", "maximum as something else"),
    ],
)
def test_a_damaged_store_is_refused(made, tmp_path, how, said) -> None:
    path = tmp_path / "cards.parquet"
    damaged(made, how, path)
    with pytest.raises(InvalidFile, match=said):
        load_cards(path)


def test_cards_lie_beside_their_dictionary(tmp_path) -> None:
    file = tmp_path / "sae.npz"
    file.touch()
    assert cards_path(str(tmp_path)) == tmp_path / "cards.parquet"
    assert cards_path(f"{file}?layer=3") == tmp_path / "sae.npz.cards.parquet"
    assert find_cards(str(file), "any") is None


def test_a_trace_takes_the_tested_labels_and_says_how(model, text) -> None:
    coders = tiny_clt(model)
    cards = describe(model, coders, text, None, HOW)
    told = [{"text": "a name", "role": "on", "named": True, "precision": 0.9, "recall": 0.5,
             "recall_any": 0.6, "base": 0.1, "on": 20}]  # fmt: skip
    trace = extract(model, coders, Prompt.of("t1 t2 t3", model))
    first = (int(trace.features.layer[0]), int(trace.features.id[0]))
    rows = [
        (layer, feature) == first for layer, feature in cards.table.select("layer", "feature").iter_rows()
    ]
    table = cards.table.with_columns(
        labels=pl.Series([told if row else [] for row in rows], dtype=cards.table.schema["labels"]),
        label=pl.Series(["a name" if row else None for row in rows]),
    )
    labelled = label_features(trace, replace(cards, table=table))
    for name, text_ in labelled.labels.items():
        mine = name.split("@")[0] == f"{first[0]}/{first[1]}"
        assert text_ == "a name" if mine else text_ == trace.labels[name]
    assert "1 of" in labelled.meta["labels"]
    assert labelled.meta["tested_labels"] == {
        f"{first[0]}/{first[1]}": {"label": "a name", "precision": 0.9, "recall": 0.5}
    }
    assert label_features(trace, replace(cards, table=cards.table.clear())) is trace


def test_search_finds_labels_first_and_needs_every_word(monkeypatch) -> None:
    cards, *_ = planted.cards(monkeypatch)
    found = search(cards, "cities")
    names = [planted.PLANTED[f] for f in found["feature"].to_list()]
    assert set(names) == {"on", "half", "after", "say"}
    assert search(cards, "after cities")["feature"].to_list() == [planted.FEATURE["after"]]
    assert len(search(cards, "cities no-such-word")) == 0
    assert search(cards, "CODE")["found"][0].to_list() == ["domains"]
    by_text = search(cards, "weather", {(3, planted.FEATURE["noise"]): "Weather reports"})
    assert by_text["feature"].to_list() == [planted.FEATURE["noise"]]
    assert by_text["found"][0].to_list() == ["explanation"]
    assert len(search(cards, "(w.*")) == 0  # no pattern


def test_neuronpedia_export_has_its_layout(monkeypatch, tmp_path) -> None:
    cards, *_ = planted.cards(monkeypatch)
    out = tmp_path / "export"
    assert export(cards, out, {(3, 6): {"text": "weather", "by": "a model"}}) == {
        "features": 11,
        "batches": 1,
    }
    batch = json.loads((out / "3-transcoder" / "batch-0.json").read_text())
    assert (batch["model_id"], batch["layer"], batch["sae_set"]) == ("m", 3, "transcoder")
    entry, card = batch["features"][0], cards.card(3, 0)
    assert entry["feature_index"] == 0
    assert entry["frac_nonzero"] == card.frequency
    assert entry["pos_str"] == [token for token, _ in card.promoted]
    assert len(entry["freq_hist_data_bar_heights"]) == len(entry["freq_hist_data_bar_values"])
    assert {len(a["tokens"]) - len(a["values"]) for a in entry["activations"]} == {0}
    assert entry["activations"][0]["bin_min"] == -1
    lines = (out / "3-transcoder" / "explanations" / "batch-0.jsonl").read_text().splitlines()
    told = {entry["index"]: entry["description"] for entry in map(json.loads, lines)}
    assert told["6"] == "weather"
    assert told[str(planted.FEATURE["on"])] == "cities"


def test_text_has_the_domains_its_files_have(model, tmp_path) -> None:
    np.savez(tmp_path / "both.npz", prose=np.arange(50) % 90, code=np.arange(30) % 90)
    text = load_text(tmp_path / "both.npz", model, 10)
    assert text.domains == ("code", "prose")
    assert text.domain.tolist() == [0] * 3 + [1] * 5
    assert text.ids[3].tolist() == list(range(10))
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("t1 " * 20)
    (folder / "b.txt").write_text("t2 " * 10)
    assert load_text(folder, model, 10).domain.tolist() == [0, 0, 1]
    np.savez(tmp_path / "short.npz", prose=np.arange(50) % 90, code=np.arange(3))
    with pytest.raises(InvalidFile, match="code"):
        load_text(tmp_path / "short.npz", model, 10)
    np.save(tmp_path / "one.npy", np.arange(10))
    with pytest.raises(UsageError, match="two sequences"):
        load_text(tmp_path / "one.npy", model, 10)
