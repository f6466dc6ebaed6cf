"""k-sparse probes: planted columns are found, means and splits are literal, the regression is optimal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction import model_of
from hypothesis import given
from hypothesis import strategies as st
from tiny_saes import N_FEATURES, tiny_clt, tiny_sae

from circuits.errors import InvalidFile, NotFound, UsageError
from circuits.models.sites import capture
from circuits.training import probing
from circuits.training.labelled import Labelled, load_labelled
from circuits.training.logistic import auc, fit
from circuits.training.probing import Probes, bases, pooled, probe, ranked, tasks


def examples(count: int = 40, seed: int = 0) -> Labelled:
    """Texts of several lengths; "ten" ones hold t10, "twenty" t20, "none" neither."""
    dice = np.random.default_rng(seed)
    texts, labels = [], []
    for number in range(3 * count):
        label = ("ten", "twenty", "none")[number % 3]
        text = dice.integers(30, 97, dice.integers(3, 9))
        if label != "none":
            text[1:] = np.where(dice.random(len(text) - 1) < 0.6, 10 if label == "ten" else 20, text[1:])
            text[-1] = 10 if label == "ten" else 20
        texts.append(text.tolist())
        labels.append(label)
    return Labelled.of(texts, labels, "planted texts")


@given(st.integers(0, 2**16), st.integers(1, 5), st.integers(4, 40))
def test_the_regression_is_the_minimum(seed: int, k: int, n: int) -> None:
    """The loss is convex: it is least where torch's derivative of the formula is 0."""
    dice = np.random.default_rng(seed)
    x, y = dice.normal(3, 5, (n, k)), dice.random(n) < 0.5
    found = fit(x, y)
    w, b = (
        torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in (found.weight, found.bias)
    )
    inputs = torch.from_numpy((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1))
    z = inputs @ w + b
    (
        torch.nn.functional.softplus(torch.from_numpy(np.where(y, -1.0, 1.0)) * z).sum() + (w**2).sum() / 2
    ).backward()
    assert w.grad.abs().max() < 1e-4
    if y.any() and not y.all():  # with one class only, the bias runs to infinity
        assert b.grad.abs() < 1e-4
    np.testing.assert_allclose(found.score(x), z.detach().numpy(), rtol=1e-9, atol=1e-9)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_a_share_of_pairs(drawn: list[tuple[int, bool]]) -> None:
    score, y = np.array([float(s) for s, _ in drawn]), np.array([label for _, label in drawn])
    pairs = [(a > b) + (a == b) / 2 for a in score[y] for b in score[~y]]
    found = auc(score, y)
    assert found == pytest.approx(sum(pairs) / len(pairs)) if pairs else np.isnan(found)


@given(st.integers(0, 2**16), st.lists(st.integers(10, 30), min_size=2, max_size=4))
def test_tasks_are_balanced_and_their_parts_apart(seed: int, sizes: list[int]) -> None:
    labels = [name for name, size in zip("abcd", sizes, strict=False) for _ in range(size)]
    planned = tasks(labels, Probes(seed=seed))
    assert [t.label for t in planned] == (["b"] if len(sizes) == 2 else list("abcd")[: len(sizes)])
    for task in planned:
        assert not set(task.train) & set(task.test)
        count = min(labels.count(task.label), len(labels) - labels.count(task.label))
        assert len(set(task.train) | set(task.test)) == 2 * count
        for part in (task.train, task.test):
            assert 2 * task.is_label[part].sum() == len(part)
        assert [labels[i] == task.label for i in task.test] == task.is_label[task.test].tolist()
        assert 2 * round(0.7 * count) == len(task.train)


@pytest.mark.parametrize("at_once", [8, 100, 100_000])
def test_columns_are_means_over_each_example_alone(at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(probing, "TOKENS_AT_ONCE", at_once)
    monkeypatch.setattr(probing, "ENCODED_AT_ONCE", at_once * 5)
    model, some = model_of("llama"), examples(10)
    clt = tiny_clt(model)
    for columns in bases(model, clt, 1):
        found = pooled(model, some, columns)
        for row in (0, 1, 17):
            ids = torch.from_numpy(some.ids[row : row + 1, : some.counted[row].sum() + 1])
            x = capture(model, ids, [columns.place])[columns.place][0, 1:]
            expected = sum(columns.of(token[None])[0] for token in x) / len(x)
            np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-6)


def test_certain_positions_can_be_judged() -> None:
    model, some = model_of("llama"), examples(10)
    last = np.zeros_like(some.counted)
    last[np.arange(len(some)), some.counted.cumsum(1).argmax(1)] = True
    at = Labelled(some.ids, last, some.labels, "last tokens")
    columns = bases(model, tiny_clt(model), 0)[2]
    x = capture(model, torch.from_numpy(some.ids), [(0, "mlp_out")])[0, "mlp_out"].numpy()
    np.testing.assert_allclose(pooled(model, at, columns), x[last], rtol=1e-5, atol=1e-6)


def test_columns_are_ranked_by_the_training_part_alone() -> None:
    """Column 2 differs most in its own spread, column 0 in plain units, column 1 in the test part only."""
    labels = ["a"] * 20 + ["b"] * 20
    (task,) = tasks(labels, Probes())
    dice = np.random.default_rng(0)
    x = dice.normal(size=(40, 4))
    x[:, 0] = 1000 * dice.normal(size=40) + 300 * task.is_label
    x[:, 2] = 0.01 * (dice.normal(size=40) + 3 * task.is_label)
    x[task.test, 1] += 1e6 * task.is_label[task.test]
    train, own = x[task.train], task.is_label[task.train]
    apart = np.abs(train[own].mean(0) - train[~own].mean(0))
    assert ranked(x, task, standardised=False).tolist() == np.argsort(-apart).tolist()
    assert ranked(x, task, standardised=True).tolist() == np.argsort(-apart / train.std(0)).tolist()
    assert (ranked(x, task, standardised=False)[0], ranked(x, task, standardised=True)[0]) == (0, 2)


def test_a_planted_feature_is_found_and_nothing_else_tells() -> None:
    """Feature 7 reads what tells t10 from all; probes find it, and with shuffled labels find nothing."""
    model, some = model_of("llama"), examples(60)
    sae = tiny_sae(model, "block_out", "relu", layers=(0,))
    place = (0, "block_out")
    x = capture(model, torch.from_numpy(some.ids), [place])[place]
    is_ten = torch.from_numpy(some.ids == 10)
    direction = x[is_ten].mean(0) - x[~is_ten].mean(0)
    sae.coder(0).encoder.all()[7] = 20 * direction / direction.norm()
    found = probe(model, sae, some)
    (best,) = [p for p in found.probes if (p.basis, p.k, p.label) == ("features", 1, "ten")]
    assert best.chosen == (7,)
    assert best.accuracy > 0.9
    assert best.auc > 0.95
    assert found.labels == ("none", "ten", "twenty")
    (whole,) = [p for p in found.probes if (p.basis, p.label) == ("all activations", "ten")]
    assert (whole.accuracy > 0.9, whole.k, whole.chosen) == (True, 32, ())
    dice = np.random.default_rng(1)
    labels = tuple(dice.permutation(some.labels))
    control = probe(model, sae, Labelled(some.ids, some.counted, labels, "shuffled"))
    assert 0.3 < np.mean([p.auc for p in control.probes]) < 0.7


def test_all_bases_and_sizes_are_told_and_meant() -> None:
    model, told = model_of("gpt2"), []
    found = probe(model, tiny_clt(model), examples(12), progress=lambda *step: told.append(step))
    kinds = {(p.layer, p.basis, p.k) for p in found.probes}
    some = [(basis, k) for basis in ("features", "neurons", "activations") for k in (1, 2, 5)]
    assert kinds == {(layer, *kind) for layer in range(3) for kind in [*some, ("all activations", 32)]}
    assert len(found.probes) == 3 * len(kinds)
    means = found.means().filter(layer=1, basis="neurons", k=2)
    own = [p for p in found.probes if (p.layer, p.basis, p.k) == (1, "neurons", 2)]
    assert means["auc"].item() == pytest.approx(np.mean([p.auc for p in own]))
    assert means["accuracy"].item() == pytest.approx(np.mean([p.accuracy for p in own]))
    assert told == [("Probing", i, 9) for i in range(9)]
    document = json.loads(json.dumps(found.to_dict()))
    assert (document["examples"], len(document["probes"])) == (36, len(found.probes))
    again = probe(model, tiny_clt(model), examples(12), Probes(ks=(1, 2, 5)))
    assert again == found
    assert all(0 <= c < N_FEATURES for p in found.probes if p.basis == "features" for c in p.chosen)


def test_files_of_labelled_text(tmp_path: Path) -> None:
    model = model_of("llama")
    file = tmp_path / "some.jsonl"
    lines = [{"text": f"t{i} t{i + 1} t5 t6", "label": i % 2} for i in range(20)]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    some = load_labelled(file, model, 3)
    assert some.labels == ("0", "1") * 10
    assert some.ids.tolist() == [[i, i + 1, 5] for i in range(20)]
    assert some.counted.tolist() == [[False, True, True]] * 20


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, NotFound, "No file"),
        (b"\xff\xfe", InvalidFile, "no UTF-8"),
        (b"{", InvalidFile, "Line 1 of .* is no JSON"),
        (b'{"label": "a"}', InvalidFile, 'Line 1 of .* is no object with a "text"'),
        (b'{"text": "t1 t2", "label": 0.5}', InvalidFile, 'has no "label"'),
        (b'{"text": "t1 t2", "label": "a"}\n' * 10, UsageError, "has 1 labels"),
        (
            b'{"text": "t1 t2", "label": "a"}\n' * 10 + b'{"text": "t1 t2", "label": "b"}\n' * 9,
            UsageError,
            "'b' has 9 examples: give at least 10",
        ),
        (
            b'{"text": "t1 t2", "label": "a"}\n' * 10 + b'{"text": "t1", "label": "b"}\n' * 10,
            UsageError,
            "Example 11 of .* has no token but the first",
        ),
    ],
)
def test_refusals(content: bytes | None, error: type[Exception], message: str, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=message):
        load_labelled(file, model_of("llama"))
