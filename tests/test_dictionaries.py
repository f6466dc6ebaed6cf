"""Dictionaries: what they encode, what their parts sum to, and what is refused when they are read."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_dictionaries import KINDS, N_FEATURES, TOP_K, config, random_layer, write_transcoders
from tiny_models import ARCHITECTURES, TinyTokens, tiny_model

from circuits.dictionaries import rows as rows_module
from circuits.dictionaries.activations import JumpReLU, ReLU, TopK
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.circuit_tracer import save_transcoders
from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.rows import DenseRows
from circuits.errors import Incompatible, OutputExists, UsageError
from circuits.models.load import model_from_module

IN_FLOAT64 = [name for name in ARCHITECTURES if name != "gpt2-upcast"]
THRESHOLD = "activation_function.threshold"
DOWN = {"gpt2": "transformer.h.{}.mlp.c_proj", "gpt_neox": "gpt_neox.layers.{}.mlp.dense_4h_to_h"}


@functools.cache
def model_of(name, dtype=torch.float64):
    return tiny_model(name, dtype=dtype)


def inputs(model, n=5, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, model.width, generator=generator, dtype=torch.float64).to(model.dtype)


def read_sum(dictionary, layer, x):
    """Σ coefficient · (rows · x) + bias over the read terms."""
    total = 0
    for term in dictionary.read_terms(layer, x):
        part = x @ term.rows.all().T
        total = total + (part if term.coefficient is None else part * term.coefficient)
        total = total + (0 if term.bias is None else term.bias)
    return total


@pytest.mark.parametrize("name", IN_FLOAT64)
def test_neurons_are_what_the_module_feeds_its_down_matrix(name):
    model = model_of(name)
    dictionary = Neurons(model)
    seen = {}
    pattern = DOWN.get(model.anatomy.architecture, "model.layers.{}.mlp.down_proj")
    down = dict(model.module.named_modules())
    for layer in range(model.n_layers):
        mlp = down[pattern.format(layer).rsplit(".", 1)[0]]
        x = inputs(model, seed=layer)
        with torch.no_grad():
            hook = down[pattern.format(layer)].register_forward_pre_hook(
                lambda _, args, layer=layer: seen.__setitem__(layer, args[0])
            )
            out = mlp(x[None])[0]
            hook.remove()
        encoding = dictionary.encode(layer, x)
        torch.testing.assert_close(encoding.activation, seen[layer][0], rtol=1e-10, atol=1e-12)
        (term,) = dictionary.write_terms(layer, x)
        constant = dictionary.constant(layer, x)
        written = encoding.activation @ term.rows.all() + (0 if constant is None else constant)
        torch.testing.assert_close(written, out, rtol=1e-10, atol=1e-12)
        assert term.layer == layer


@pytest.mark.parametrize("name", IN_FLOAT64)
def test_what_neurons_read_sums_to_the_pre_activation(name):
    model = model_of(name)
    dictionary = Neurons(model)
    x = inputs(model)
    encoding = dictionary.encode(1, x)
    torch.testing.assert_close(read_sum(dictionary, 1, x), encoding.pre_activation, rtol=1e-12, atol=1e-13)
    gated = model.anatomy.layers[1].mlp.gate is not None
    assert encoding.gate == ("linear" if gated else model.anatomy.layers[1].mlp.activation)
    assert len(dictionary.read_terms(1, x)) == (2 if gated else 1)


@pytest.mark.parametrize(("name", "slope"), [("llama", 0.5), ("llama-yarn", 0.5)])
def test_a_gate_of_exactly_zero_has_its_limit(name, slope):
    module = ARCHITECTURES[name]().double()
    with torch.no_grad():
        module.model.layers[0].mlp.gate_proj.weight[3] = 0
    model = model_from_module(module, TinyTokens(), spec="tiny:zero", name="zero")
    x = inputs(model)
    on_gate, on_up = Neurons(model).read_terms(0, x)
    value = x @ model.anatomy.layers[0].mlp.up[3]
    torch.testing.assert_close(on_gate.coefficient[:, 3], slope * value / 2)  # silu'(0) = gelu'(0) = ½
    assert (on_up.coefficient[:, 3] == 0).all()


def test_neurons_belong_to_one_model():
    with pytest.raises(Incompatible, match="llama"):
        Neurons(model_of("gpt2")).check(model_of("llama"))


@pytest.mark.parametrize("kind", KINDS)
def test_transcoders_encode_as_their_definition_says(tmp_path, kind):
    model = model_of("llama")
    dictionary = load_dictionary(str(write_transcoders(tmp_path / "t", model, kind)), model)
    x = inputs(model)
    for layer in range(model.n_layers):
        w = {key: value.numpy() for key, value in random_layer(model, kind, seed=layer).items()}
        z = x.numpy() @ w["W_enc"].T + w["b_enc"]
        if kind == "jumprelu":
            a = z * (z > w["activation_function.threshold"])
        elif kind.startswith("topk"):
            a = np.zeros_like(z)
            for p in range(len(z)):
                best = np.argsort(-z[p])[:TOP_K]
                a[p, best] = z[p, best]
            a = np.maximum(a, 0) if kind == "topk-relu" else a
        else:
            a = np.maximum(z, 0)
        encoding = dictionary.encode(layer, x)
        np.testing.assert_allclose(encoding.activation.numpy(), a, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(read_sum(dictionary, layer, x).numpy(), z, rtol=1e-12, atol=1e-14)
        if encoding.threshold is not None:
            on = encoding.pre_activation > encoding.threshold
            np.testing.assert_array_equal(on.numpy(), a != 0)
        (term,) = dictionary.write_terms(layer, inputs(model))
        np.testing.assert_array_equal(term.rows.all().numpy(), w["W_dec"])
        skip = dictionary.skip(layer)
        assert (skip is None) == (kind != "skip")
        if skip is not None:
            np.testing.assert_array_equal(skip.numpy(), w["W_skip"])


@settings(max_examples=60, deadline=None)
@given(
    z=st.lists(st.floats(-5, 5), min_size=3, max_size=9, unique=True), k=st.integers(1, 8), relu=st.booleans()
)
def test_top_k_keeps_k_and_clips_only_with_relu(z, k, relu):
    k = min(k, len(z) - 1)
    row = torch.tensor([z], dtype=torch.float64)
    on = row > TopK(k, relu=relu).threshold(row)
    assert int(on.sum()) == (sum(v > 0 for v in sorted(z)[-k:]) if relu else k)
    if not relu:
        assert row[on].min() > row[~on].max()


@pytest.mark.parametrize("k", [0, N_FEATURES, N_FEATURES + 1])
def test_top_k_of_all_features_is_refused(tmp_path, k):
    path = write_transcoders(tmp_path / "t", model_of("llama"), "topk")
    (path / "config.yaml").write_text(yaml.safe_dump({**config("topk"), "k": k}))
    with pytest.raises(UsageError, match=f"Top-{k} of {N_FEATURES}"):
        load_dictionary(str(path), model_of("llama"))


@pytest.mark.parametrize(
    ("name", "hooks", "sites"),
    [
        ("llama", "mlp", ("mlp_in", "mlp_out")),
        ("llama", "no-gain", ("mlp_in_no_gain", "mlp_added")),
        ("gpt2", "no-gain", ("mlp_in", "mlp_added")),  # TransformerLens hooks LayerNorm after gain and bias
        ("gemma2", "residual", ("residual", "mlp_added")),
    ],
)
def test_hooks_name_the_sites(tmp_path, name, hooks, sites):
    model = model_of(name)
    dictionary = load_dictionary(str(write_transcoders(tmp_path / "t", model, "relu", hooks)), model)
    assert (dictionary.read_site, dictionary.write_site) == sites


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_float_type_are_computed_with_in_the_models(tmp_path, stored):
    model = model_of("llama")
    path = write_transcoders(tmp_path / "t", model, "jumprelu")
    for file in path.glob("*.safetensors"):
        save_file({key: value.to(stored) for key, value in load_file(file).items()}, file)
    encoding = load_dictionary(str(path), model).encode(0, inputs(model))
    weights = {k: v.to(stored).double() for k, v in random_layer(model, "jumprelu", seed=0).items()}
    torch.testing.assert_close(
        encoding.pre_activation, inputs(model) @ weights["W_enc"].T + weights["b_enc"], rtol=1e-12, atol=1e-13
    )


def test_files_may_have_any_name_if_the_configuration_lists_them(tmp_path):
    model = model_of("llama")
    path = write_transcoders(tmp_path / "t", model, "relu")
    for layer in range(model.n_layers):
        (path / f"layer_{layer}.safetensors").rename(path / f"part{9 - layer}.safetensors")
    listed = [f"part{9 - layer}.safetensors" for layer in range(model.n_layers)]
    (path / "config.yaml").write_text(yaml.safe_dump({**config("relu"), "transcoders": listed}))
    dictionary = load_dictionary(str(path), model)
    expected = random_layer(model, "relu", seed=2)["b_dec"]
    assert torch.equal(dictionary.constant(2, inputs(model))[0], expected)


def test_decoders_are_read_row_by_row(tmp_path, monkeypatch):
    model = model_of("llama")
    dictionary = load_dictionary(str(write_transcoders(tmp_path / "t", model, "relu")), model)
    asked = []
    real = rows_module.safe_open

    class Slice:
        def __init__(self, inner, key):
            self.inner, self.key = inner, key

        def __getitem__(self, index):
            asked.append((self.key, index.tolist() if isinstance(index, torch.Tensor) else "all"))
            return self.inner[index]

    class Spy:
        def __init__(self, path, **options):
            self.file = real(path, **options)

        def __enter__(self):
            self.inner = self.file.__enter__()
            return self

        def __exit__(self, *cause):
            self.file.__exit__(*cause)

        def get_slice(self, key):
            return Slice(self.inner.get_slice(key), key)

    monkeypatch.setattr(rows_module, "safe_open", Spy)
    (term,) = dictionary.write_terms(1, inputs(model))
    rows = term.rows.take([30, 2])
    assert asked == [("W_dec", [30, 2])]
    expected = random_layer(model, "relu", seed=1)["W_dec"][[30, 2]]
    assert torch.equal(rows, expected)
    assert term.rows.take([]).shape == (0, model.width)
    dictionary.encode(1, inputs(model))
    assert asked == [("W_dec", [30, 2]), ("W_enc", "all")]


def test_the_fingerprint_tells_weights_and_settings_apart_but_not_places(tmp_path):
    model = model_of("llama")
    first = load_dictionary(str(write_transcoders(tmp_path / "a", model, "relu")), model)
    same = load_dictionary(str(write_transcoders(tmp_path / "b", model, "relu")), model)
    other_hook = load_dictionary(str(write_transcoders(tmp_path / "c", model, "relu", "residual")), model)
    path = write_transcoders(tmp_path / "e", model, "relu")
    (path / "config.yaml").write_text(yaml.safe_dump({**config("relu"), "feature_input_hook": "hook_mlp_in"}))
    other_read = load_dictionary(str(path), model)
    path = write_transcoders(tmp_path / "d", model, "relu")
    tensors = load_file(path / "layer_1.safetensors")
    tensors["W_dec"][4, 4] += 1e-3
    save_file(tensors, path / "layer_1.safetensors")
    other_weight = load_dictionary(str(path), model)
    assert first.fingerprint == same.fingerprint
    others = {other.fingerprint for other in (other_hook, other_read, other_weight)}
    assert len(others | {first.fingerprint}) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sites", [("mlp_in", "mlp_out"), ("residual", "mlp_added"), ("mlp_in_no_gain", "mlp_out")]
)
def test_what_is_saved_is_what_is_loaded(tmp_path, kind, sites):
    model = model_of("llama")
    layers = []
    for layer in range(model.n_layers):
        w = random_layer(model, kind, seed=layer)
        activation = TopK(TOP_K, relu=kind == "topk-relu") if kind.startswith("topk") else ReLU()
        layers.append(
            CoderLayer(
                layer,
                DenseRows(w["W_enc"]),
                w["b_enc"],
                ((layer, DenseRows(w["W_dec"])),),
                w["b_dec"],
                JumpReLU(w[THRESHOLD]) if THRESHOLD in w else activation,
                DenseRows(w["W_skip"]) if "W_skip" in w else None,
            )
        )
    wanted = CoderSettings(read_site=sites[0], write_site=sites[1])
    save_transcoders(tmp_path / "t", layers, wanted)
    held, loaded = Coders(layers, wanted), load_dictionary(str(tmp_path / "t"), model)
    x = inputs(model)
    for layer in range(model.n_layers):
        # equal weights at other addresses: some matrix libraries then add in another order
        ours, theirs = held.encode(layer, x).activation, loaded.encode(layer, x).activation
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        assert torch.equal(held.coder(layer).encoder.all(), loaded.coder(layer).encoder.all())
        assert torch.equal(held.constant(layer, x), loaded.constant(layer, x))
        (a,), (b,) = held.write_terms(layer, x), loaded.write_terms(layer, x)
        assert torch.equal(a.rows.take([3, 1]), b.rows.take([3, 1]))
        assert kind != "skip" or torch.equal(held.skip(layer), loaded.skip(layer))
    assert (loaded.read_site, loaded.write_site) == sites
    assert type(loaded.coder(0).activation) is type(layers[0].activation)
    with pytest.raises(OutputExists):
        save_transcoders(tmp_path / "t", layers, wanted)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t"]
