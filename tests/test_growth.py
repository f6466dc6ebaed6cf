"""Growth: what was learned stays, children stand where much was left, and a stopped run ends alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from extraction import model_of

from circuits.errors import UsageError
from circuits.training.coder import outputs
from circuits.training.growth import grow
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Trainer

STAGES = ((16, 0.25), (24, 0.5))
SETTINGS = Training(layers=(0, 1, 2), features=56, k=4, tokens=64 * 12, batch=64, growth=STAGES)


def trainer(settings: Training = SETTINGS, place=None) -> Trainer:
    tokens = Sequences(np.random.default_rng(0).integers(0, 60, (40, 9)), "some tokens")
    return Trainer(model_of("llama", torch.float32), tokens, settings, place)


def test_features_by_step() -> None:
    assert [SETTINGS.features_at(step) for step in range(12)] == [16] * 3 + [24] * 3 + [56] * 6
    assert SETTINGS.rate_at(4) == pytest.approx(replace(SETTINGS, growth=(), features=24).rate_at(4))
    assert SETTINGS.rate_at(7) == replace(SETTINGS, growth=()).rate_at(7)


@pytest.mark.parametrize("activation", ["topk", "batchtopk"])
@pytest.mark.parametrize("kind", ["transcoder", "sae", "clt"])
def test_a_run_that_stopped_ends_in_the_same_weights(tmp_path, kind: str, activation: str) -> None:
    chosen = replace(SETTINGS, kind=kind, activation=activation)
    whole = trainer(chosen)
    sizes = []
    whole.train(lambda _: sizes.append(len(whole.coders[0].idle)))
    assert sizes == [16, 16, 24, 24, 24, *[56] * 7]  # told after growing
    for steps in (3, 2, 1, None):  # stopped when it has just grown, between, and before
        part = trainer(chosen, tmp_path)
        part.train(steps=steps)
    for one, other in zip(whole.coders, part.coders, strict=True):
        for name, p in {**one.parameters(), **one.buffers()}.items():
            assert torch.equal(p, {**other.parameters(), **other.buffers()}[name]), name
    assert whole.dictionary().n_features == 56


@pytest.mark.parametrize("kind", ["transcoder", "sae", "clt"])
def test_growing_keeps_what_was_learned_and_adds_where_much_is_left(kind: str) -> None:
    run = trainer(replace(SETTINGS, kind=kind))
    run.train(steps=2)
    xs, ys = run._inputs(run._source.at(2))
    before = [{n: p.clone() for n, p in w.parameters().items()} for w in run.coders]
    moments = [{k: v.clone() for k, v in run._optimiser.state[w.decoder].items()} for w in run.coders]
    outs, actives = outputs(run.coders, xs, run.settings)
    # of the last coder, one token far off: all its children are to be born there, or nearly all
    there = int((actives[-1].value.view(64, 4) > 0).all(1).nonzero()[0])
    far = [*ys[:-1], outs[-1].clone()]
    far[-1][there] += 1e4  # nothing is left at any other
    grow(run.coders, run._optimiser, (xs, far), run.settings, 3)
    for w, old, moment in zip(run.coders, before, moments, strict=True):
        for name in ("encoder", "encoder_bias", "decoder"):
            assert torch.equal(getattr(w, name)[:16], old[name]), name
        assert torch.equal(w.decoder_bias, old["decoder_bias"])
        assert len(w.idle) == len(w.encoder) == len(w.encoder_bias) == len(w.decoder) == 24
        torch.testing.assert_close(w.decoder[16:].norm(dim=1), torch.ones(8))
        state = run._optimiser.state[w.decoder]
        assert torch.equal(state["exp_avg_sq"][:16], moment["exp_avg_sq"])
        assert not state["exp_avg"][16:].any()
        assert state["step"] == moment["step"]
    held = [p for group in run._optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for w in run.coders for p in w.parameters().values()}
    last, active = run.coders[-1], actives[-1]
    rest = (far[-1] - outs[-1])[there]
    d = len(rest)
    assert torch.nn.functional.cosine_similarity(last.decoder[16:, :d], rest[None]).min() > 0.999
    own = active.token == there
    parent = active.feature[own][active.value[own].argmax()]
    assert torch.equal(
        run._optimiser.state[last.decoder]["exp_avg_sq"][16:], moments[-1]["exp_avg_sq"][parent].expand(8, -1)
    )
    # at that token a child gives half of what was left; at the mean of all tokens it is off
    z = last.encoder[16:] @ xs[-1][there] + last.encoder_bias[16:]
    torch.testing.assert_close(z, rest.norm().expand(8) / 2, rtol=1e-2, atol=1e-3)
    middle = last.encoder[16:] @ xs[-1].mean(0) + last.encoder_bias[16:]
    torch.testing.assert_close(middle, rest.norm().expand(8) * -1.5, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        (((4, 0.5),), "features must rise from more than k = 4"),
        (((56, 0.5),), "to less than 56"),
        (((24, 0.5), (16, 0.7)), "24 until 0.5 of the steps, 16 until 0.7"),
        (((16, 0.5), (24, 0.5)), "shares from above 0 to below 1"),
        (((16, 1.0),), "shares from above 0 to below 1"),
        (((16, 0.0),), "shares from above 0 to below 1"),
    ],
)
def test_refusals(growth: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, growth=growth)
    with pytest.raises(UsageError, match="Growth takes topk or batchtopk"):
        replace(SETTINGS, activation="jumprelu")
