"""Planted features: their statistics are those asked for, training finds them, measures are literal."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.errors import UsageError
from circuits.training.coder import initial
from circuits.training.recovery import match, recovery
from circuits.training.settings import Training
from circuits.training.synthetic import activations, learn, plant

SMALL = Training(
    kind="sae", features=96, k=3, tokens=200_000, batch=1024, dead_after=20_000, auxiliary=8, rate=8e-3
)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_the_matching_is_the_best_of_all(g: int, m: int, seed: int) -> None:
    similarity = np.random.default_rng(seed).normal(size=(g, m))
    found = match(similarity)
    taken = found[found >= 0]
    assert len(taken) == len(set(taken)) == min(g, m)
    columns = [*range(m), *([None] * g)]  # None is no match, worth nothing
    best = max(
        sum(similarity[i, c] for i, c in enumerate(chosen) if c is not None)
        for chosen in itertools.permutations(columns, g)
        if sum(c is not None for c in chosen) == min(g, m)
    )
    assert sum(similarity[i, c] for i, c in enumerate(found) if c >= 0) == pytest.approx(best)


@given(st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_measures_are_literal(seed: int) -> None:
    """Small enough for all one-to-one matchings to be tried, correlations and F1 counted one by one."""
    dice = np.random.default_rng(seed)
    directions, decoder = dice.normal(size=(3, 4)), dice.normal(size=(5, 4))
    strength = dice.random((40, 3)) * (dice.random((40, 3)) < 0.4)
    activation = dice.random((40, 5)) * (dice.random((40, 5)) < 0.4)
    found = recovery(directions, strength, decoder, activation)
    matchings = list(itertools.permutations(range(5), 3))

    def cosine(i: int, j: int) -> float:
        a, b = directions[i], decoder[j]
        return a @ b / np.sqrt((a @ a) * (b @ b))

    def f1(i: int, j: int) -> float:
        pairs = [(s != 0, a != 0) for s, a in zip(strength[:, i], activation[:, j], strict=True)]
        right = pairs.count((True, True))
        wrong = pairs.count((True, False)) + pairs.count((False, True))
        return right / (right + wrong / 2)

    best = max(matchings, key=lambda chosen: sum(cosine(i, j) for i, j in enumerate(chosen)))
    assert tuple(found.matched) == best
    assert found.cosine == pytest.approx(np.mean([cosine(i, j) for i, j in enumerate(best)]))
    assert found.f1 == pytest.approx(np.mean([f1(i, j) for i, j in enumerate(best)]))
    correlation = np.corrcoef(strength.T, activation.T)[:3, 3:]
    most = max(sum(correlation[i, j] for i, j in enumerate(chosen)) for chosen in matchings)
    assert found.mcc == pytest.approx(most / 3)


def test_the_planted_features_themselves_are_recovered_whole() -> None:
    planted = plant(24, 16, active=2.0)
    sample = planted.sample(3000)
    order = np.random.default_rng(0).permutation(24)
    decoder = np.concatenate([planted.directions.numpy()[order] * 3, np.eye(16)])
    activation = np.concatenate([sample.strength.numpy()[:, order] / 3, np.zeros((3000, 16))], axis=1)
    found = recovery(planted.directions.numpy(), sample.strength.numpy(), decoder, activation)
    assert (found.cosine, found.mcc, found.f1) == pytest.approx((1, 1, 1), abs=1e-6)
    assert order[found.matched].tolist() == list(range(24))
    half = recovery(planted.directions.numpy(), sample.strength.numpy(), decoder[:12], activation[:, :12])
    assert half.cosine == pytest.approx(0.5, abs=1e-6)  # without a match counts 0
    assert (half.matched < 0).sum() == 12
    assert half.to_dict()["recovered"] == 0.5


def test_a_feature_that_never_is_on_is_not_judged() -> None:
    strength = np.array([[1.0, 0.0], [0.0, 0.0]])
    found = recovery(np.eye(2), strength, np.eye(2), np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert found.f1 == 1
    nothing = recovery(np.eye(2), strength * 0, np.eye(2), np.ones((2, 2)))
    assert np.isnan(nothing.f1)
    assert nothing.mcc == 0


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_samples_have_the_statistics_asked_for(correlation: float) -> None:
    planted = plant(40, 20, active=5.0, exponent=1.0, correlation=correlation, seed=3)
    frequency = planted.frequency.numpy()
    assert frequency.sum() == pytest.approx(5, rel=1e-5)
    assert frequency[::2] == pytest.approx(frequency[0] / np.arange(1, 21), rel=1e-5)
    assert frequency[1::2] == pytest.approx(frequency[::2])
    sample = planted.sample(60_000)
    torch.testing.assert_close(sample.x, sample.strength @ planted.directions)
    on = sample.strength.numpy() != 0
    assert np.abs(on.mean(0) - frequency).max() < 5 * np.sqrt(frequency.max() / 60_000)
    sizes = sample.strength.numpy()[on] / planted.scale
    assert (sizes.min(), sizes.max(), sizes.mean()) == pytest.approx((0.5, 1.5, 1), abs=0.01)
    both = np.corrcoef(on.T)
    pairs = both[np.arange(0, 40, 2), np.arange(1, 40, 2)]
    assert pairs.mean() == pytest.approx(correlation, abs=0.02)
    assert abs(both[0, 2:].mean()) < 0.01
    assert plant(4096, 256, active=8).sample(500).x.square().mean() == pytest.approx(1, abs=0.1)


def test_samples_are_the_same_for_the_same_number() -> None:
    planted = plant(10, 8, active=2.0)
    torch.testing.assert_close(planted.sample(5, 3).x, planted.sample(5, 3).x, rtol=0, atol=0)
    assert not torch.equal(planted.sample(5, 3).x, planted.sample(5, 4).x)
    assert not torch.equal(planted.sample(5, 3).x, plant(10, 8, active=2.0, seed=1).sample(5, 3).x)


def test_training_recovers_more_directions_than_the_width() -> None:
    planted = plant(64, 32, active=3.0)
    learned, sample = learn(planted, SMALL), planted.sample(3000)
    untrained = initial(SMALL, 0, 32, 1)

    def measured(w):
        active = activations(w, sample.x, SMALL).numpy()
        assert (active != 0).sum(1).max() <= SMALL.k
        return recovery(
            planted.directions.numpy(), sample.strength.numpy(), w.decoder.detach().numpy(), active
        )

    found, before = measured(learned), measured(untrained)
    assert found.cosine > 0.95
    assert found.mcc > 0.8
    assert found.f1 > 0.7
    assert max(before.cosine, before.mcc, before.f1) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 7}, "7 features make no pairs"),
        ({"correlation": 1.5}, "correlation of 1.5"),
        ({"active": 9.0, "exponent": 2.0}, "probability of"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plant(**{"features": 10, "width": 4, **arguments})


@pytest.mark.parametrize("changed", [{"kind": "transcoder"}, {"activation": "jumprelu"}, {"routed": (4, 2)}])
def test_only_some_settings_learn(changed: dict) -> None:
    with pytest.raises(UsageError, match="learned by an SAE"):
        learn(plant(10, 4, active=1.0), Training(**{"kind": "sae", "layers": (0,), **changed}))
