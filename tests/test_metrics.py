"""How good a dictionary is: what neurons, zeros and exact dictionaries must give, and literal sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from extraction import model_of
from tiny_dictionaries import write_transcoders
from tiny_saes import N_FEATURES, tiny_clt, tiny_sae

from circuits.dictionaries import rows as rows_room
from circuits.dictionaries.activations import ReLU
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings, InputNorm
from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.rows import DenseRows
from circuits.errors import InvalidFile, UsageError
from circuits.models.sites import capture
from circuits.training import metrics, reconstruct
from circuits.training.metrics import Fit, held_out, passing
from circuits.training.tokens import Sequences

SITES = ("mlp_out", "mlp_added", "block_out")


def sequences(count: int = 12, length: int = 9, seed: int = 0) -> Sequences:
    return Sequences(np.random.default_rng(seed).integers(0, 97, (count, length)), "some tokens")


def twice(some: Sequences) -> Sequences:
    return Sequences(np.concatenate([some.ids, some.ids]), some.source)


def zero(model, bias: torch.Tensor | None = None, site: str | None = None) -> Coders:
    """A dictionary whose features never are on and which gives its decoder bias alone."""
    d = model.width
    off = torch.full((5,), -1.0, dtype=model.dtype)
    nothing = DenseRows(torch.zeros(5, d, dtype=model.dtype))
    layers = [
        CoderLayer(
            layer,
            nothing,
            off,
            ((layer, nothing),),
            torch.zeros(d, dtype=model.dtype) if bias is None else bias,
            ReLU(),
        )
        for layer in range(model.n_layers)
    ]
    settings = CoderSettings("sae", site, site) if site else CoderSettings()
    return Coders(layers, settings)


def of(dictionary, model, some: Sequences | None = None) -> dict[int, Fit]:
    return held_out(dictionary, passing(model, dictionary, some or sequences()))


def literal(model, dictionary: Coders, some: Sequences) -> dict[int, tuple[float, float, list[int]]]:
    """FVU, L0 and how often each feature is on, in two passes over all tokens at once, from the records."""
    read, write = dictionary.read_site, dictionary.write_site
    places = [(layer, site) for layer in dictionary.layers for site in (read, write)]
    seen = capture(model, torch.from_numpy(some.ids), places)
    seen = {place: values[:, 1:].reshape(-1, model.width) for place, values in seen.items()}
    given = {layer: torch.zeros_like(seen[layer, write]) for layer in dictionary.layers}
    counts = {}
    for layer in dictionary.layers:
        coder, x = dictionary.coder(layer), seen[layer, read]
        inside = x if coder.norm is None else coder.norm.apply(x)
        z = inside @ coder.encoder.all().T + coder.encoder_bias
        a = coder.activation(z).activation
        counts[layer] = [int((a[:, i] != 0).sum()) for i in range(a.shape[1])]
        for to, rows in coder.decoders:
            out = a @ rows.all() + (coder.decoder_bias if to == layer else 0)
            if coder.norm is not None and to == layer:
                out = out / coder.norm.read_scale(x)[:, None]
            given[to] += out
        if coder.skip is not None:
            given[layer] += x @ coder.skip.all().T
    found = {}
    for layer in dictionary.layers:
        y = seen[layer, write]
        rest, spread = (y - given[layer]) ** 2, (y - y.mean(0)) ** 2
        found[layer] = (float(rest.sum() / spread.sum()), sum(counts[layer]) / len(y), counts[layer])
    return found


@pytest.mark.parametrize("name", ["llama-biases", "gpt2", "gemma2", "neox"])
def test_neurons_explain_everything(name: str) -> None:
    model = model_of(name)
    for fit in of(Neurons(model), model).values():
        assert fit.fvu < 1e-20
        assert fit.l0 == pytest.approx(Neurons(model).n_features, rel=1e-3)  # a gelu may be 0
        assert (fit.dead, fit.dense, fit.tokens) == (0, 1, 12 * 8)


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk", "skip"])
@pytest.mark.parametrize("hooks", ["mlp", "no-gain", "residual"])
def test_transcoders_by_the_literal_formula(kind: str, hooks: str, tmp_path, monkeypatch) -> None:
    model = model_of("gpt2")
    dictionary = load_dictionary(str(write_transcoders(tmp_path / "set", model, kind, hooks)), model)
    assert_literal(model, dictionary, monkeypatch)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_saes_by_the_literal_formula(site: str, name: str, monkeypatch) -> None:
    model = model_of(name)
    assert_literal(model, tiny_sae(model, site, "abstopk"), monkeypatch)
    assert_literal(model, tiny_sae(model, site, "topk", InputNorm("unit_rms"), layers=(1,)), monkeypatch)


def test_clts_by_the_literal_formula(monkeypatch) -> None:
    model = model_of("llama")
    assert_literal(model, tiny_clt(model, "jumprelu"), monkeypatch)


def assert_literal(model, dictionary: Coders, monkeypatch) -> None:
    some = sequences()
    # blocks that divide neither tokens nor features: in the capture, in the encoder, in the matrices
    monkeypatch.setattr(rows_room, "BLOCK_BYTES", 7 * model.width * 8)
    monkeypatch.setattr(metrics, "CAPTURED_BYTES", 2 * model.n_layers * 9 * model.width * 8 * 5)
    monkeypatch.setattr(reconstruct, "ENCODED_AT_ONCE", 7 * N_FEATURES)
    expected = literal(model, dictionary, some)
    for layer, fit in of(dictionary, model, some).items():
        fvu, l0, counts = expected[layer]
        assert fit.fvu == pytest.approx(fvu, rel=1e-10)
        assert fit.l0 == pytest.approx(l0, rel=1e-12)
        assert [round(f * fit.tokens) for f in fit.frequency] == counts
        assert fit.dead == counts.count(0) / len(counts)


@pytest.mark.parametrize("site", [None, *SITES])
def test_a_dictionary_of_constants_has_a_known_fvu(site: str | None) -> None:
    """Σ‖y - c‖² = Σ‖y - mean‖² + n‖mean - c‖²: the mean itself leaves 1, zero leaves more."""
    model, some = model_of("llama"), sequences()
    for layer in range(model.n_layers):
        where = (layer, site or "mlp_out")
        y = capture(model, torch.from_numpy(some.ids), [where])[where][:, 1:].reshape(-1, model.width)
        mean, spread = y.mean(0), float((y - y.mean(0)).square().sum())
        perfect = of(zero(model, mean, site), model, some)[layer]
        assert perfect.fvu == pytest.approx(1, rel=1e-9)
        nothing = of(zero(model, None, site), model, some)[layer]
        assert nothing.fvu == pytest.approx(1 + len(y) * float(mean.square().sum()) / spread, rel=1e-9)
        assert (nothing.l0, nothing.dead) == (0, 1)
        assert nothing.histogram()["dead"] == 5


def test_the_same_text_twice_changes_nothing() -> None:
    model = model_of("gpt2")
    dictionary = tiny_clt(model)
    one, two = of(dictionary, model), of(dictionary, model, twice(sequences()))
    for layer, fit in one.items():
        assert two[layer].fvu == pytest.approx(fit.fvu, rel=1e-12)
        np.testing.assert_allclose(two[layer].frequency, fit.frequency, rtol=1e-12)
        assert two[layer].tokens == 2 * fit.tokens


def test_a_large_mean_costs_no_digits() -> None:
    rows = torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tally = metrics.Tally(torch.zeros(3, dtype=torch.long))
    for part in torch.split(rows + 1e7, 77):
        tally.add(part, part)
    assert tally.spread == pytest.approx(float((rows - rows.mean(0)).square().sum()), rel=1e-7)


def test_frequencies_are_told_as_quantiles_and_powers_of_ten() -> None:
    frequency = np.array([0.0, 0.0, 2e-6, 5e-4, 0.03, 0.1, 0.2, 1.0])
    fit = Fit(1000, 0.5, 1.3, 0.25, frequency)
    assert fit.dense == 2 / 8
    assert fit.quantiles()[0.5] == pytest.approx((5e-4 + 0.03) / 2)
    expected = {"dead": 2, "<1e-5": 1, "<1e-4": 0, "<1e-3": 1, "<1e-2": 0, "<1e-1": 1, ">=1e-1": 3}
    assert fit.histogram() == expected
    assert sum(fit.to_dict()["frequency"]["histogram"].values()) == 8


def test_refusals(monkeypatch) -> None:
    model = model_of("llama")
    with pytest.raises(UsageError, match="no tokens"):
        held_out(Neurons(model), [])
    broken = replace(sequences())
    monkeypatch.setattr(
        metrics,
        "capture",
        lambda _, ids, where: {p: torch.full((*ids.shape, 32), float("nan")) for p in where},
    )
    with pytest.raises(InvalidFile, match="NaN or infinity at mlp_in of layer 0"):
        next(passing(model, Neurons(model), broken))
