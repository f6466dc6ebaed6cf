import importlib
import random
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

ANALYSIS = str(Path(__file__).parent.parent / "analysis")


@pytest.fixture(scope="module", autouse=True)
def modules():
    """The scripts import one another by name, as they do when run."""
    sys.path.insert(0, ANALYSIS)
    yield
    sys.path.remove(ANALYSIS)


def load(name):
    return importlib.import_module(f"features_vs_neurons_{name}")


def by_pairs(values, positive, weight):
    """The area as it is defined: over all pairs of a token on the concept and one off it."""
    total = won = 0.0
    for i, j in product(np.flatnonzero(positive), np.flatnonzero(~positive)):
        pair = weight[i] * weight[j]
        total += pair
        won += pair * (1.0 if values[i] > values[j] else 0.5 if values[i] == values[j] else 0.0)
    return won / total


def labelled(kind, document=None, passage=None):
    kind = np.asarray(kind)
    n, kinds = len(kind), int(kind.max())
    share = np.array([1.0] + [1 / kinds] * kinds) / np.bincount(kind)
    document = np.arange(n) if document is None else np.asarray(document)
    passage = np.arange(n) if passage is None else np.asarray(passage)
    return load("concepts").Labelled(np.arange(n), kind == 0, kind, share[kind], document, passage)


@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_over_all_pairs_ties_and_zeros_and_negatives_included(seed):
    dice = np.random.default_rng(seed)
    values = dice.integers(-2, 3, size=(30, 7)).astype(np.float32) * dice.integers(0, 2, size=(30, 7))
    positive, weight = dice.random(30) < 0.4, dice.random(30)
    found = load("scores").areas(csr_matrix(values), positive, weight)
    expected = [by_pairs(values[:, unit], positive, weight) for unit in range(7)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    negated = load("scores").areas(csr_matrix(-values), positive, weight)
    np.testing.assert_allclose(negated, 1 - found, atol=1e-12)


def test_an_area_without_negatives_is_refused():
    with pytest.raises(ValueError, match="off it"):
        load("scores").areas(csr_matrix(np.ones((3, 1))), np.ones(3, bool), np.ones(3))


def test_a_unit_is_chosen_by_validation_among_the_best_of_search_and_allowed():
    search = np.linspace(0, 1, 40)
    validation = np.zeros(40)
    validation[[5, 31, 33]] = 1.0, 0.8, 0.9
    choose = load("scores").choose
    assert choose(search, validation, np.arange(40)) == 33  # 5 is not among the ten of search
    assert choose(search, validation, np.arange(0, 40, 2)) in range(22, 40, 2)
    assert choose(search, validation, np.array([5, 6])) == 5


def test_a_perfect_and_a_deaf_unit_score_as_they_must():
    part = labelled([0] * 10 + [1] * 20 + [2] * 40)
    perfect = np.where(part.positive, 2.0, 0.5).astype(np.float32)
    found = load("scores").score(perfect, part, 2.0)
    assert (found.auc.value, found.precision.value, found.recall.value) == pytest.approx((1.0, 1.0, 1.0))
    assert found.kinds == [1.0, 1.0]
    assert found.bins[7] == 1.0
    assert found.bins[1] == 0.0
    assert found.tokens[1] == 60
    deaf = load("scores").score(np.zeros(70, np.float32), part, 0.0)
    assert deaf.auc.value == pytest.approx(0.5)
    assert deaf.precision.json() == [None, None, None]
    assert (deaf.auc.low, deaf.auc.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_precision_weighs_both_sides_alike_and_every_kind_alike():
    part = labelled([0] * 4 + [1] * 10 + [2] * 100)
    values = np.zeros(114, np.float32)
    values[:2], values[4:9], values[14:24] = 1, 1, 1  # half of the concept, half of kind 1, a tenth of kind 2
    found = load("scores").score(values, part, 1.0)
    assert found.recall.value == pytest.approx(0.5)
    assert found.precision.value == pytest.approx(0.5 / (0.5 + 0.25 + 0.05))


def test_intervals_are_over_documents_not_tokens():
    dice = np.random.default_rng(0)
    kind = np.repeat([0, 1], 200)
    values = (np.repeat(dice.normal(size=40), 10) + (kind == 0)).astype(np.float32)
    score = load("scores").score
    by_token = score(values, labelled(kind), 3.0).auc
    by_document = score(values, labelled(kind, np.repeat(np.arange(40), 10)), 3.0).auc
    assert by_document.value == by_token.value
    assert by_document.high - by_document.low > 2 * (by_token.high - by_token.low)
    assert by_document.low < by_document.value < by_document.high


def test_passages_are_compared_by_their_means():
    kind = [0] * 6 + [1] * 6
    passage = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    values = np.array([9, 0, 0, 0, 3, 0, 1, 1, 1, 0, 0, 0], np.float32)  # means 3, 1, 1, 0
    found = load("scores").score(values, labelled(kind, passage=passage), 9.0)
    assert found.passages == pytest.approx((2 + 1 + 0.5) / 4)
    mixed = load("scores").score(values, labelled([0, 1] * 6, passage=passage), 9.0)
    assert mixed.passages is None


def test_difference_is_paired_and_holm_orders():
    scores = load("scores")
    part = labelled(np.repeat([0, 1], 30))
    noise = np.random.default_rng(1).normal(size=60)
    one = scores.score((noise + part.positive).astype(np.float32), part, 3.0)
    interval, p = scores.difference(one, one)
    assert (interval.low, interval.value, interval.high, p) == (0, 0, 0, 1)
    weak = scores.score(noise.astype(np.float32), part, 3.0)
    assert scores.difference(one, weak)[0].value == pytest.approx(one.auc.value - weak.auc.value)
    assert scores.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert scores.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_labels_weigh_sides_and_kinds_alike_and_keep_splits_apart():
    concepts, texts = load("concepts"), load("texts")
    dice = random.Random(0)
    groups = ("DNA", "random ACGT", "geography")
    passages = [
        texts.Passage(group, split, number, tuple(dice.randrange(50) for _ in range(30)))
        for number, (group, split, _) in enumerate(product(groups, texts.SPLITS, range(3)))
    ]
    tokens = concepts.tokens_of(passages)
    chance = concepts.Concept("16S, not chance", "DNA", ("random ACGT",))
    for number, split in enumerate(texts.SPLITS):
        part = concepts.label(tokens, {"city": set(), "Texan city": set(), "capital": set()}, chance, split)
        assert set(tokens.split[part.rows]) == {number}
        assert set(tokens.group[part.rows][part.positive]) == {"DNA"}
        assert part.weight[part.positive].sum() == pytest.approx(1)
        assert part.weight[~part.positive].sum() == pytest.approx(1)
    named = {"city": {1, 2, 3}, "Texan city": {4, 5}, "capital": {6}, "state": {7, 8}, "currency": {9}}
    texan = concepts.Concept("cities of Texas", "Texan city", ("other cities", "other names", "other words"))
    part = concepts.label(tokens, named, texan, "test")
    ids = tokens.id[part.rows]
    assert set(ids[part.kind == 0]) <= {4, 5}
    assert set(ids[part.kind == 1]) <= {1, 2, 3, 6}
    assert set(ids[part.kind == 2]) <= {7, 8, 9}
    assert not set(ids[part.kind == 3]) & set().union(*named.values())
    for kind in (1, 2, 3):
        assert part.weight[part.kind == kind].sum() == pytest.approx(1 / 3)


def test_hard_negatives_are_what_they_say():
    texts, dice = load("texts"), random.Random(0)
    gene = ">seq\n" + "".join(dice.choice("ACGT") for _ in range(600))
    real, chance = texts.bases(gene, random.Random(1)), texts.shuffled(gene, random.Random(1))
    assert real in gene
    assert sorted(real) == sorted(chance)
    assert real != chance
    assert (
        texts.letters(texts.LATIN)("سلام 1 عليكم", dice) == " Elykm"
    )  # begun at a word; digits are left out
    assert texts.entries(texts.GENES, "; ")("a gene; a shoe; DNA is long", dice) == "a gene DNA is long"
    assert texts.neutral("the god of love " * 20, dice) is None
    assert texts.plain_code('x = 1\n"""prose"""\n' * 40, dice) is None
    assert texts.encoded(r"[0-9a-f]+")("0f" * 50 + "Z", dice) is None


def test_purity_counts_kinds_and_tokens_of_the_strongest():
    purity, concepts, units = load("purity"), load("concepts"), load("basis")
    n, dice = 40, np.random.default_rng(0)
    groups = np.repeat(["scripture", "DNA"], n)
    values = np.zeros((2 * n, 4), np.float16)
    values[:n, 0] = 1  # only scripture
    values[::2, 1] = 1 + dice.random(n)  # both kinds of text, but always the same token
    values[:, 2] = 1 + dice.random(2 * n)  # anything
    values[:5, 3] = 1  # too seldom
    ids = np.where(np.arange(2 * n) % 2 == 0, 7, np.arange(2 * n) + 100)
    zeros = np.zeros(2 * n, int)
    tokens = concepts.Tokens(zeros, zeros, ids, zeros, zeros, groups)
    found = purity.purity(units.Basis("made", csr_matrix(values, dtype=np.float32)), tokens)
    assert (found["units"], found["silent"]) == (4, 0.25)
    assert found["pure in kind"] == found["pure in token"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["pure"] == pytest.approx(2 / 3, abs=1e-4)


def test_a_negated_unit_is_the_unit_negated():
    units = load("basis")
    values = np.arange(12, dtype=np.float16).reshape(4, 3)
    basis = units.Basis("neurons", values, signed=True)
    rows = np.array([0, 3])
    assert basis.size == 6
    assert basis.column(4, rows).tolist() == [-1, -10]
    sparse = units.Basis("features", csr_matrix(values, dtype=np.float32))
    assert sparse.column(1, rows).tolist() == basis.column(1, rows).tolist() == [1, 10]
