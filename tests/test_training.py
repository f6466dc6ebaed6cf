"""Training: gradients are autograd's, top-k is top-k, and a run that stopped ends in the same weights."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from extraction import model_of
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.dictionaries.activations import JumpReLU, TopK
from circuits.errors import Incompatible, InvalidFile, NotFound, UsageError
from circuits.models.sites import capture
from circuits.training.activations import Activations
from circuits.training.checkpoint import NAME
from circuits.training.coder import Scaling, initial, step
from circuits.training.jumprelu import jump_step
from circuits.training.kernels import encode_batch_top_k, encode_top_k, top_k
from circuits.training.settings import Training
from circuits.training.tokens import Sequences, load_sequences
from circuits.training.trainer import Trainer

D, M, N, K = 12, 40, 30, 5
SMALL = Training(layers=(0, 1, 2), features=48, k=4, tokens=64 * 12, batch=64, auxiliary=4, dead_after=200)


def sequences(count: int = 40, length: int = 9) -> Sequences:
    return Sequences(np.random.default_rng(0).integers(0, 60, (count, length)), "some tokens")


def dense(active, n: int = N, m: int = M) -> torch.Tensor:
    out = torch.zeros(n, m)
    out[active.token, active.feature] = active.value
    return out


@given(st.integers(0, 2**16), st.sampled_from([1, 3, 8]), st.sampled_from([48, 640, 1600]))
@settings(max_examples=25, deadline=None)
def test_top_k_is_exact(seed: int, k: int, m: int) -> None:
    z = torch.randn(7, m, generator=torch.Generator().manual_seed(seed))
    values, places = top_k(z, k)
    torch.testing.assert_close(values.sort(1).values, z.topk(k, dim=1).values.sort(1).values, rtol=0, atol=0)
    torch.testing.assert_close(z.gather(1, places), values, rtol=0, atol=0)


def test_bfloat16_only_chooses() -> None:
    torch.manual_seed(0)
    x, encoder, bias = torch.randn(N, D), torch.randn(M, D), torch.randn(M)
    exact, chosen = (
        dense(encode_top_k(x, encoder, bias, K)),
        dense(encode_top_k(x, encoder, bias, K, half=True)),
    )
    both = (exact > 0) & (chosen > 0)
    assert both.sum() > 0.97 * (exact > 0).sum()
    torch.testing.assert_close(exact[both], chosen[both], rtol=1e-5, atol=1e-5)


def test_batch_top_k_takes_the_largest_of_the_batch() -> None:
    torch.manual_seed(1)
    x, encoder, bias = torch.randn(N, D), torch.randn(M, D), torch.randn(M)
    z = (x @ encoder.T + bias).relu()
    least = z.reshape(-1).topk(N * K).values[-1]
    expected = torch.where(z >= least, z, 0)
    # a token gives at most 4k, so compare where none has more
    few = (expected > 0).sum(1) <= 4 * K
    assert few.all()
    torch.testing.assert_close(dense(encode_batch_top_k(x, encoder, bias, K)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ["topk", "batchtopk"])
@pytest.mark.parametrize("kind", ["sae", "transcoder", "skip", "clt"])
@pytest.mark.parametrize("dead", [False, True])
def test_gradients_are_autograds(kind: str, activation: str, dead: bool) -> None:
    """The loss written out densely, differentiated by torch; with dead features, AuxK's term too."""
    torch.manual_seed(2)
    layers = (0, 1, 2) if kind == "clt" else (0,)
    chosen = Training(
        kind="transcoder" if kind == "skip" else kind,
        layers=layers,
        features=M,
        k=K,
        activation=activation,
        skip=kind == "skip",
        auxiliary=3 if dead else 0,
        dead_after=10,
    )
    coders = [initial(chosen, layer, D, 3 - layer if kind == "clt" else 1) for layer in layers]
    for w in coders:
        for p in w.parameters().values():
            p += torch.randn_like(p) * 0.1
        if dead:
            w.idle[:7] = 1000
    xs, ys = [torch.randn(N, D) for _ in layers], [torch.randn(N, D) for _ in layers]
    leaves = [{k: p.clone().requires_grad_() for k, p in w.parameters().items()} for w in coders]
    idle = [w.idle.clone() for w in coders]
    step(coders, xs, ys, chosen)
    loss = _dense_loss(leaves, xs, ys, chosen, [w.idle for w in coders])
    loss.backward()
    assert dead == any((i > 10).any() for i in idle)
    for w, leaf in zip(coders, leaves, strict=True):
        for name, p in w.parameters().items():
            torch.testing.assert_close(p.grad, leaf[name].grad, rtol=1e-5, atol=1e-6, msg=name)


def _dense_loss(leaves, xs, ys, chosen, idle) -> torch.Tensor:
    outs, hidden = [leaf["decoder_bias"].expand(N, D) for leaf in leaves], []
    for i, (leaf, x) in enumerate(zip(leaves, xs, strict=True)):
        z = x @ leaf["encoder"].T + leaf["encoder_bias"]
        r = z.relu()
        least = z.detach().topk(K, 1).values[:, -1:]
        if chosen.activation == "batchtopk":
            least = r.detach().reshape(-1).topk(N * K).values[-1]
        a = torch.where(z >= least, r, 0)
        hidden.append(z)
        if "skip" in leaf:
            outs[i] = outs[i] + x @ leaf["skip"].T
        for j, part in enumerate((a @ leaf["decoder"]).split(D, 1)):
            outs[i + j] = outs[i + j] + part
    rests = [y - out for y, out in zip(ys, outs, strict=True)]
    loss = sum((r**2).sum() / N for r in rests)
    for i, (leaf, z) in enumerate(zip(leaves, hidden, strict=True)):
        off = (idle[i] > chosen.dead_after).nonzero()[:, 0]
        k = min(chosen.auxiliary, len(off) - 1)
        if k > 0:
            reaches = leaf["decoder"].shape[1] // D
            rest = torch.cat([r.detach() for r in rests[i : i + reaches]], 1)
            zd = z[:, off]
            a = torch.where(zd >= zd.detach().topk(k, 1).values[:, -1:], zd.relu(), 0)
            loss = loss + ((rest - a @ leaf["decoder"][off]) ** 2).sum() / N / 32
    return loss


def test_jumprelus_threshold_follows_its_pseudo_derivative() -> None:
    torch.manual_seed(3)
    chosen = Training(features=M, k=K, activation="jumprelu")
    w = initial(chosen, 0, D, 1)
    w.threshold.fill_(0.3)
    x, y = torch.randn(N, D), torch.randn(N, D)
    z = x @ w.encoder.T
    a = z * (z > 0.3)
    told = jump_step(w, x, y, chosen)
    felt = 2 / N * (a @ w.decoder - y) @ w.decoder.T
    near = ((z - 0.3).abs() < 0.05).float()
    count = (z > 0.3).float().sum(1).mean()
    penalty = 2 * D * (count / K - 1) / K * (-near / 0.1) / N
    expected = (-(0.3 / 0.1) * near * felt + penalty).sum(0)
    torch.testing.assert_close(w.threshold.grad, expected, rtol=1e-4, atol=1e-5)
    assert told.l0 == pytest.approx(float(count))


def test_batches_hold_the_models_activations_without_the_first_token() -> None:
    model, places = model_of("llama", torch.float32), ((1, "mlp_in"), (1, "mlp_out"))
    data = sequences(8, 5)
    source = Activations(model, data, places, batch=16, seed=3)
    assert source.batches_per_buffer == 2
    seen = capture(model, torch.from_numpy(data.ids), places)
    for place in places:
        got = torch.cat([source.at(0)[place], source.at(1)[place]])
        every = seen[place][:, 1:].flatten(0, 1)
        matches = torch.cdist(got, every).argmin(1)
        assert sorted(matches.tolist()) == list(range(32))  # each token once in a pass
    again = Activations(model, data, places, batch=16, seed=3).at(1)[places[0]]
    assert torch.equal(again, source.at(1)[places[0]])
    assert not torch.equal(again, source.at(3)[places[0]])


@pytest.mark.parametrize("kind", ["transcoder", "sae", "clt"])
def test_a_run_that_stopped_ends_in_the_same_weights(tmp_path, kind: str) -> None:
    model = model_of("llama", torch.float32)
    chosen = replace(SMALL, kind=kind)
    whole = Trainer(model, sequences(), chosen)
    whole.train()
    for steps in (1, 5, None):  # each time from the file alone
        part = Trainer(model, sequences(), chosen, tmp_path)
        part.train(steps=steps)
    assert part.done == whole.done == 12
    for one, other in zip(whole.coders, part.coders, strict=True):
        for name, p in one.parameters().items():
            assert torch.equal(p, other.parameters()[name]), name
        assert torch.equal(one.idle, other.idle)


def test_an_interrupt_within_a_step_waits_for_its_end(tmp_path, monkeypatch) -> None:
    model = model_of("llama", torch.float32)
    whole = Trainer(model, sequences(), SMALL)
    whole.train()
    part = Trainer(model, sequences(), SMALL, tmp_path)
    real = part._optimiser.step

    def interrupted() -> None:
        real()
        if part.done == 3:
            os.kill(os.getpid(), signal.SIGINT)  # weights are changed, the step is not counted yet

    monkeypatch.setattr(part._optimiser, "step", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            part.train()
    finally:
        signal.signal(signal.SIGINT, before)
    again = Trainer(model, sequences(), SMALL, tmp_path)
    assert again.done == 4
    again.train()
    for one, other in zip(whole.coders, again.coders, strict=True):
        for name, p in one.parameters().items():
            assert torch.equal(p, other.parameters()[name]), name


@pytest.mark.parametrize("activation", ["topk", "batchtopk", "jumprelu"])
@pytest.mark.parametrize("kind", ["transcoder", "sae", "skip"])
def test_the_dictionary_says_in_the_models_units_what_was_trained(kind: str, activation: str) -> None:
    model = model_of("gemma2", torch.float32)
    chosen = replace(
        SMALL, kind="transcoder" if kind == "skip" else kind, skip=kind == "skip", activation=activation
    )
    trainer = Trainer(model, sequences(), chosen)
    trainer.train()
    dictionary = trainer.dictionary()
    dictionary.check(model)
    w, coder = trainer.coders[1], dictionary.coder(1)
    batch = trainer._source.at(0)
    x = batch[1, chosen.read_site]
    read, write = trainer._scalings[1, chosen.read_site], trainer._scalings[1, chosen.write_site]
    z = read.apply(x) @ w.encoder.T + w.encoder_bias
    encoding = dictionary.encode(1, x)
    torch.testing.assert_close(encoding.pre_activation, z, rtol=1e-3, atol=1e-4)
    assert isinstance(coder.activation, TopK if activation == "topk" else JumpReLU)
    a = encoding.activation
    out = a @ w.decoder + w.decoder_bias + (0 if w.skip is None else read.apply(x) @ w.skip.T)
    expected = out * write.scale + write.mean
    got = a @ coder.decoders[0][1].all() + coder.decoder_bias
    got = got if coder.skip is None else got + x @ coder.skip.all().T
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_training_learns() -> None:
    model = model_of("llama", torch.float32)
    chosen = replace(SMALL, layers=(1,), features=96, k=8, tokens=64 * 150)
    found: list[float] = []
    Trainer(model, sequences(200), chosen).train(lambda p: found.append(p.told[0].fvu))
    assert np.mean(found[-10:]) < 0.5 * np.mean(found[:3])


def test_scaling_gives_zero_mean_and_unit_mean_square() -> None:
    x = torch.randn(500, 6) * 3 + 2
    y = Scaling.of(x).apply(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(6), rtol=0, atol=1e-5)
    assert float(y.square().mean()) == pytest.approx(1, abs=1e-5)


def test_refusals(tmp_path) -> None:
    model = model_of("llama", torch.float32)
    with pytest.raises(InvalidFile, match="less than one batch of 4,096"):
        Trainer(model, sequences(), replace(SMALL, batch=4096))
    with pytest.raises(UsageError, match="No layer 9 in llama"):
        Trainer(model, sequences(), replace(SMALL, layers=(9,)))
    with pytest.raises(UsageError, match="train all 3 layers"):
        Trainer(model, sequences(), replace(SMALL, kind="clt", layers=(0, 1)))
    with pytest.raises(UsageError, match="k is 48 of 48"):
        replace(SMALL, k=48)
    Trainer(model, sequences(), SMALL, tmp_path).train(steps=1)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(Incompatible, match=r"of another run .*seed"):
        Trainer(model, sequences(), replace(SMALL, seed=5), tmp_path)
    assert (tmp_path / NAME).read_bytes() == before
    (tmp_path / NAME).write_bytes(before[: len(before) // 2])
    with pytest.raises(InvalidFile, match="no whole checkpoint"):
        Trainer(model, sequences(), SMALL, tmp_path)


def test_sequences_from_files(tmp_path) -> None:
    model = model_of("llama")
    np.savez(tmp_path / "a.npz", b=np.arange(10, dtype=np.uint16), a=np.arange(10, 20, dtype=np.uint16))
    found = load_sequences(tmp_path / "a.npz", model, 6)
    assert found.ids.tolist() == [[10, 11, 12, 13, 14, 15], [16, 17, 18, 19, 0, 1], [2, 3, 4, 5, 6, 7]]
    (tmp_path / "t.txt").write_text("t3 t14 t15 t9")
    assert load_sequences(tmp_path / "t.txt", model, 2).ids.shape[1] == 2
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "t3 t14"}) + "\n" + json.dumps({"text": "t5 t6"}))
    assert load_sequences(tmp_path / "t.jsonl", model, 2).ids.shape == (2, 2)
    np.save(tmp_path / "big.npy", np.array([3, 99999]))
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    for name, error, message in (
        ("big.npy", InvalidFile, "ids up to 99999"),
        ("object.npy", InvalidFile, "no whole .npy"),
        ("none.txt", NotFound, "No file"),
        ("t.txt", UsageError, "less than one sequence"),
    ):
        with pytest.raises(error, match=message):
            load_sequences(tmp_path / name, model, 30)
