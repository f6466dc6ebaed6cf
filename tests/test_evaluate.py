"""What a dictionary costs the model, against literal replacements; decoder duplicates by brute force."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
import torch
from extraction import model_of
from test_metrics import SITES, sequences, twice, zero
from tiny_models import ARCHITECTURES, tiny_model
from tiny_saes import tiny_clt, tiny_sae
from torch.nn.functional import cross_entropy

from circuits.dictionaries.activations import ReLU
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings, InputNorm
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.rows import DenseRows
from circuits.errors import Incompatible
from circuits.models.sites import block
from circuits.training import duplicates as duplicates_room
from circuits.training import replace as replace_room
from circuits.training.duplicates import duplicates, nearest
from circuits.training.evaluate import evaluate
from circuits.training.replace import Losses, ablations, nats, stand_ins

LAYERS = (0, 1, 2)


def literal_nats(model, some, hooks=()) -> float:
    """From the module's own logits, all at once; `hooks` are (module, function of input and output)."""
    ids = torch.from_numpy(some.ids)
    with contextlib.ExitStack() as stack:
        for module, change in hooks:
            handle = module.register_forward_hook(lambda _, x, y, change=change: change(x[0], y))
            stack.callback(handle.remove)
        logits = model.module(ids).logits[:, :-1].double()
    return float(cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)))


def exact_transcoder(model) -> Coders:
    """The ReLU neurons of a GPT-2 as a transcoder: exact, though made of other parts than `Neurons`."""
    layers = [
        CoderLayer(
            number,
            DenseRows(parts.mlp.up),
            parts.mlp.up_bias,
            ((number, DenseRows(parts.mlp.down.T)),),
            parts.mlp.down_bias,
            ReLU(),
        )
        for number, parts in enumerate(model.anatomy.layers)
    ]
    return Coders(layers, CoderSettings())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nats_are_those_of_the_modules_own_logits(name: str, monkeypatch) -> None:
    monkeypatch.setattr(replace_room, "TOKENS_AT_ONCE", 5 * 9)
    monkeypatch.setattr(replace_room, "LOGITS_AT_ONCE", 7 * 97)
    model = tiny_model(name)
    assert nats(model, sequences()) == pytest.approx(literal_nats(model, sequences()), rel=1e-6)


@pytest.mark.parametrize("name", ["llama-biases", "gpt2", "gemma2", "neox", "neox-serial", "qwen3"])
def test_neurons_cost_nothing(name: str) -> None:
    model = model_of(name)
    found = evaluate(model, Neurons(model), sequences())
    for losses in (found.losses, *(layer.losses for layer in found.layers.values())):
        assert losses.replaced == pytest.approx(losses.own, rel=1e-6)  # norms are float32 in the module
        assert losses.recovered == pytest.approx(1, abs=1e-5)
        assert losses.recovered_of_mean == pytest.approx(1, abs=1e-5)
        assert min(abs(losses.zero - losses.own), abs(losses.mean - losses.own)) > 1e-3
    assert literal_nats(model, sequences()) == pytest.approx(found.losses.own, rel=1e-6)


def test_an_exact_transcoder_costs_nothing() -> None:
    model = model_of("gpt2-relu")
    found = evaluate(model, exact_transcoder(model), sequences())
    assert found.losses.replaced == pytest.approx(found.losses.own, rel=1e-9)
    assert all(layer.fit.fvu < 1e-20 for layer in found.layers.values())


def test_the_same_text_twice_changes_no_loss() -> None:
    model = model_of("llama")
    one, two = (evaluate(model, tiny_clt(model), some) for some in (sequences(), twice(sequences())))
    assert two.losses.to_dict() == pytest.approx(one.losses.to_dict(), rel=1e-6)
    assert two.tokens == 2 * one.tokens


def test_the_share_recovered() -> None:
    losses = Losses(own=2.0, replaced=3.0, zero=7.0, mean=4.0)
    assert (losses.recovered, losses.recovered_of_mean) == (0.8, 0.5)
    assert math.isnan(Losses(2.0, 3.0, 2.0, 4.0).recovered)


def clt_hooks(model, clt: Coders, chosen) -> list:
    """Layer j gives Σ_{i ≤ j} a_i · decoder_{i→j}, a_i from what its MLP receives; first tokens stay."""
    found: dict[int, torch.Tensor] = {}

    def hook(layer: int):
        def change(x, y):
            coder = clt.coder(layer)
            z = x @ coder.encoder.all().T + coder.encoder_bias
            found[layer] = z.relu()
            if layer not in chosen:
                return y
            out = coder.decoder_bias.expand_as(y).clone()
            for earlier in range(layer + 1):
                rows = dict(clt.coder(earlier).decoders)[layer]
                out += found[earlier] @ rows.all()
            out[:, 0] = y[:, 0]
            return out

        return change

    return [(block(model, layer).mlp, hook(layer)) for layer in LAYERS]


@pytest.mark.parametrize("chosen", [(0,), (1,), (2,), LAYERS])
def test_clts_are_put_in_place_of_some_layers_or_all(chosen: tuple[int, ...]) -> None:
    model, some = model_of("llama"), sequences()
    clt = tiny_clt(model)
    expected = literal_nats(model, some, clt_hooks(model, clt, chosen))
    assert nats(model, some, stand_ins(clt, chosen)) == pytest.approx(expected, rel=1e-6)
    assert abs(expected - nats(model, some)) > 1e-3


def test_saes_are_put_in_place_of_the_stream() -> None:
    model, some = model_of("llama"), sequences()
    sae = tiny_sae(model, "block_out", "relu", InputNorm("unit_rms"))

    def change(layer: int):
        def put(_, output):
            y, coder = output[0] if isinstance(output, tuple) else output, sae.coder(layer)
            size = y.square().mean(-1, keepdim=True).sqrt()
            a = (y / size @ coder.encoder.all().T + coder.encoder_bias).relu()
            out = (a @ coder.decoders[0][1].all() + coder.decoder_bias) * size
            out[:, 0] = y[:, 0]
            return (out, *output[1:]) if isinstance(output, tuple) else out

        return put

    hooks = [(block(model, layer).whole, change(layer)) for layer in LAYERS]
    expected = literal_nats(model, some, hooks)
    assert nats(model, some, stand_ins(sae, LAYERS)) == pytest.approx(expected, rel=1e-6)


def test_zeros_take_every_token_and_the_mean_all_but_the_first() -> None:
    model, some = model_of("gemma2"), sequences()
    off = [(block(model, layer).post, lambda _, y: torch.zeros_like(y)) for layer in LAYERS]
    dictionary = zero(model, None, "mlp_added")
    found = nats(model, some, ablations(dictionary, dict.fromkeys(LAYERS)))
    assert found == pytest.approx(literal_nats(model, some, off), rel=1e-6)
    bias = torch.linspace(-1, 1, model.width, dtype=model.dtype)
    mean = nats(model, some, ablations(dictionary, dict.fromkeys(LAYERS, bias)))
    same = nats(model, some, stand_ins(zero(model, bias, "mlp_added"), LAYERS))
    assert mean == pytest.approx(same, rel=1e-9)  # a dictionary that gives its bias alone
    assert abs(mean - found) > 1e-3


def test_the_module_is_left_as_it_was() -> None:
    model = model_of("llama")
    before = model.module(torch.arange(9)[None]).logits
    evaluate(model, tiny_clt(model), sequences())
    torch.testing.assert_close(model.module(torch.arange(9)[None]).logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("site", SITES)
def test_an_evaluation_of_some_layers(site: str) -> None:
    """One layer alone is all layers of it; its document has no NaN and no layer it does not know."""
    model, told = model_of("llama"), []
    dictionary = tiny_sae(model, site, "topk", layers=(1,))
    found = evaluate(model, dictionary, sequences(), progress=lambda *step: told.append(step))
    document = found.to_dict()
    assert list(document["layers"]) == ["1"]
    assert document["layers"]["1"]["nats"] == document["nats"]["all"]
    assert (document["read_site"], document["write_site"], document["tokens"]) == (site, site, 12 * 9)
    assert all(math.isfinite(value) for value in document["nats"]["all"].values())
    assert list(dict.fromkeys(phase for phase, _, _ in told)) == [
        "Comparing outputs",
        "Comparing decoders",
        "Running the model",
    ]
    assert all(done <= total for _, done, total in told)


def test_another_models_dictionary_is_refused() -> None:
    with pytest.raises(Incompatible, match="not gpt2's"):
        evaluate(model_of("gpt2"), Neurons(model_of("llama")), sequences())


@pytest.mark.parametrize("at_once", [50, 333, 10_000])
def test_nearest_decoders_by_brute_force(at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(duplicates_room, "COSINES_AT_ONCE", at_once)
    rows = torch.randn(31, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[7], rows[20] = rows[3] * 2, 0
    found = nearest(rows).numpy()
    for i, one in enumerate(rows.numpy()):
        others = [other for j, other in enumerate(rows.numpy()) if j != i]
        sizes = [np.linalg.norm(one) * np.linalg.norm(other) for other in others]
        cosines = [one @ other / size if size else 0.0 for other, size in zip(others, sizes, strict=True)]
        assert found[i] == pytest.approx(max(cosines), abs=1e-12)


def test_duplicates_are_counted_on_all_that_a_feature_writes() -> None:
    model = model_of("llama")
    clt = tiny_clt(model)
    (_, own), (into, later), *_ = clt.coder(1).decoders
    own.all()[5] = own.all()[9]
    assert (into, duplicates(clt, 1)) == (2, {0.9: 0.0, 0.95: 0.0})  # they write the same into one layer only
    later.all()[5] = later.all()[9]
    assert duplicates(clt, 1) == {0.9: 2 / 40, 0.95: 2 / 40}
    assert duplicates(zero(model), 0) == {0.9: 0.0, 0.95: 0.0}
