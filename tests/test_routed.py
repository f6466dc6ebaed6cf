"""Routed dictionaries: the literal form in torch, and saved activations that are the trained ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from extraction import model_of

from circuits.dictionaries.activations import RoutedTopK
from circuits.errors import UsageError
from circuits.training.coder import encode, initial, step
from circuits.training.routed import clusters, fit_router
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Trainer

D, M, N, K, GROUPS, SEARCHED = 12, 40, 50, 4, 5, 2
SETTINGS = Training(kind="sae", features=M, k=K, routed=(GROUPS, SEARCHED), auxiliary=3, dead_after=10)
SMALL = Training(layers=(0, 1, 2), features=48, k=4, tokens=64 * 8, batch=64, routed=(4, 2), dead_after=200)


def sequences() -> Sequences:
    return Sequences(np.random.default_rng(0).integers(0, 60, (40, 9)), "some tokens")


def coder(settings: Training):
    w = initial(settings, 0, D, 1)
    for p in w.parameters().values():
        p += torch.randn_like(p) * 0.1
    x = torch.randn(N, D)
    fit_router(w, x, settings)
    return w, x


def literal(leaf: dict, w, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pre-activations, and activations token by token: the best groups, then the best k in them."""
    z = x @ leaf["encoder"].T + leaf["encoder_bias"]
    rows = []
    for token in range(len(x)):
        score = [float(w.router[g] @ x[token] + w.router_bias[g]) for g in range(GROUPS)]
        groups = sorted(range(GROUPS), key=lambda g: -score[g])[:SEARCHED]
        inside = [i for g in groups for i in range(g * M // GROUPS, (g + 1) * M // GROUPS)]
        best = sorted(inside, key=lambda i: -float(z[token, i].detach()))[:K]
        on = torch.zeros(M)
        on[best] = 1.0
        rows.append(on * z[token].relu())
    return z, torch.stack(rows)


def test_selects_what_the_literal_form_selects() -> None:
    torch.manual_seed(0)
    w, x = coder(SETTINGS)
    active = encode(w, x, SETTINGS)
    got = torch.zeros(N, M).index_put_((active.token, active.feature), active.value, accumulate=True)
    torch.testing.assert_close(got, literal(w.parameters(), w, x)[1], rtol=1e-5, atol=1e-6)
    assert active.offset.tolist() == list(range(0, N * K, K))


@pytest.mark.parametrize("dead", [False, True])
def test_gradients_are_autograds(dead: bool) -> None:
    torch.manual_seed(1)
    w, x = coder(SETTINGS)
    y = torch.randn(N, D)
    settings = replace(SETTINGS, auxiliary=3 if dead else 0)
    w.idle[::3] = 1000
    w.encoder_bias[::3] -= 1.5
    leaf = {name: p.clone().requires_grad_() for name, p in w.parameters().items()}
    z, a = literal(leaf, w, x)
    rest = y - (a @ leaf["decoder"] + leaf["decoder_bias"])
    loss = (rest**2).sum() / N
    step([w], [x], [y], settings)
    off = w.idle > SETTINGS.dead_after
    assert off.sum() > 4
    if dead:
        groups = w.router @ x.T + w.router_bias[:, None]
        chosen = torch.zeros(N, GROUPS).scatter_(1, groups.T.topk(SEARCHED).indices, 1.0)
        allowed = chosen.repeat_interleave(M // GROUPS, 1).bool() & off
        among = z.masked_fill(~allowed, -torch.inf)
        k = min(3, int(off.sum()) - 1)
        assert k == 3
        kept = torch.where(among >= among.detach().topk(k, 1).values[:, -1:], among.relu(), 0)
        loss = loss + ((rest.detach() - kept @ leaf["decoder"]) ** 2).sum() / N / 32
    loss.backward()
    for name, p in w.parameters().items():
        torch.testing.assert_close(p.grad, leaf[name].grad, rtol=1e-5, atol=1e-6, msg=name)


def test_centres_are_the_means_of_their_own_tokens() -> None:
    torch.manual_seed(2)
    clouds = torch.randn(4, D) * 10
    x = torch.cat([c + torch.randn(n, D) * 0.3 for c, n in zip(clouds, (400, 400, 100, 100), strict=True)])
    centre = clusters(x, 8, 0)
    own = torch.cdist(x, centre).argmin(1)
    for number in own.unique().tolist():
        torch.testing.assert_close(centre[number], x[own == number].mean(0), rtol=0.05, atol=0.05)
    assert torch.cdist(centre, clouds).min(1).values.max() < 1.5  # each sits in one of the clouds
    assert torch.equal(centre, clusters(x, 8, 0))


@pytest.mark.parametrize("kind", ["transcoder", "sae", "clt"])
def test_the_dictionary_does_what_was_trained(kind: str) -> None:
    model = model_of("gemma2", torch.float32)
    trainer = Trainer(model, sequences(), replace(SMALL, kind=kind))
    trainer.train()
    dictionary = trainer.dictionary()
    for w, layer in zip(trainer.coders, trainer.settings.layers, strict=True):
        x = trainer._source.at(0)[layer, trainer.settings.read_site]
        scaled = trainer._scalings[layer, trainer.settings.read_site].apply(x)
        active = encode(w, scaled, trainer.settings)
        trained = torch.zeros(len(x), 48).index_put_((active.token, active.feature), active.value)
        encoding = dictionary.encode(layer, x)
        torch.testing.assert_close(encoding.activation, trained, rtol=1e-3, atol=1e-4)
        assert isinstance(dictionary.coder(layer).activation, RoutedTopK)
        # frozen on a prompt: a threshold says it all, also for the groups that take no part
        z, on = encoding.pre_activation, encoding.activation > 0
        assert torch.equal(on, z > encoding.threshold)
        assert torch.isfinite(encoding.threshold).all()
        assert (z[~on] > z[on].min()).any()  # some of them would be on without routing


def test_a_run_that_stopped_ends_in_the_same_weights(tmp_path) -> None:
    model = model_of("llama", torch.float32)
    whole = Trainer(model, sequences(), SMALL)
    whole.train()
    for steps in (1, 3, None):
        part = Trainer(model, sequences(), SMALL, tmp_path)
        part.train(steps=steps)
    assert part.done == 8
    for one, other in zip(whole.coders, part.coders, strict=True):
        for name, p in {**one.parameters(), **one.buffers()}.items():
            assert torch.equal(p, {**other.parameters(), **other.buffers()}[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"routed": (5, 5)}, "5 of 5 groups a token: give 1 to 4"),
        ({"routed": (5, 0)}, "0 of 5 groups a token"),
        ({"routed": (7, 2)}, "40 features in 7 groups: give a number of groups that divides them"),
        ({"routed": (10, 2)}, "more than k = 4 in each"),
        ({"activation": "batchtopk"}, "Routed training takes topk in float32"),
        ({"precision": "bfloat16"}, "Routed training takes topk in float32"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, **change)
