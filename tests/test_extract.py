"""Extraction: a trace's equations, run literally, are the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from extraction import BUILDS, PLAIN, assert_runs, dictionaries, model_of, prompt_of
from tiny_dictionaries import HOOKS, KINDS, random_layer
from tiny_models import ARCHITECTURES

from circuits.dictionaries.activations import ReLU
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.rows import DenseRows
from circuits.errors import Incompatible, UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import AllActive, ByAttribution, NormShare
from circuits.models.forward import apply_norm, forward
from circuits.models.load import load_model
from circuits.prompt import Prompt


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "gpt2-upcast"])
def test_a_trace_of_all_neurons_is_the_model_and_leaves_no_error(name):
    model = model_of(name)
    trace = extract(model, Neurons(model), prompt_of(model), PLAIN)
    assert_runs(trace, model, torch.float64)
    assert trace.mlp.error is None
    assert trace.dtype == np.float64


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen2"])
def test_gate_and_value_of_gated_neurons_are_told_apart(name):
    """g and u follow from their vectors and what the MLP reads, and multiply to the activation."""
    model = model_of(name)
    trace = extract(model, Neurons(model), prompt_of(model), PLAIN)
    gated, f = trace.gated, trace.features
    assert len(gated) == len(f)
    act = {
        "silu": torch.nn.functional.silu,
        "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    }
    product = act[gated.activation](torch.tensor(gated.gate)).numpy() * gated.value
    np.testing.assert_allclose(product, f.activation[gated.feature], atol=1e-12)
    layer, position = f.layer[gated.feature], f.position[gated.feature]
    seen = forward(model, trace.prompt.ids).mlp_in.numpy()[layer, position]
    seen = seen * trace.mlp.read_scale[layer, position][:, None]
    for vector, told in ((gated.gate_vector, gated.gate), (gated.value_vector, gated.value)):
        np.testing.assert_allclose((trace.vectors[vector] * seen).sum(1), told, atol=1e-10)


def test_plain_neurons_are_no_products():
    model = model_of("gpt2")
    assert extract(model, Neurons(model), prompt_of(model), PLAIN).gated is None


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_of_transcoders_is_the_model(sets, name, kind):
    model = model_of(name)
    trace = extract(model, sets(name, kind), prompt_of(model), PLAIN)
    assert_runs(trace, model, torch.float64)
    assert trace.mlp.error is not None
    assert (trace.mlp.skip is not None) == (kind == "skip")


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
@pytest.mark.parametrize("hooks", HOOKS)
def test_every_pair_of_sites_is_folded_right(sets, name, hooks):
    model = model_of(name)
    trace = extract(model, sets(name, "skip", hooks), prompt_of(model), PLAIN)
    assert_runs(trace, model, torch.float64)
    assert (trace.mlp.read_scale == 1).all() == (hooks == "residual")


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox"])
@pytest.mark.parametrize("hooks", ["mlp", "residual"])
@pytest.mark.parametrize("kind", ["relu", "skip", "topk"])
def test_the_error_is_what_the_transcoder_misses(sets, name, hooks, kind):
    model, dictionary = model_of(name), sets(name, kind, hooks)
    trace = extract(model, dictionary, prompt_of(model), PLAIN)
    seen = forward(model, trace.prompt.ids)
    for number, layer in enumerate(model.anatomy.layers):
        x = seen.mlp_in[number]
        x = apply_norm(layer.mlp_norm, x, seen.mlp_scale[number]) if hooks == "mlp" else x
        w = random_layer(model, kind, seed=number)
        out = dictionary.encode(number, x).activation @ w["W_dec"] + w["b_dec"]
        out = out + x @ w["W_skip"].T if kind == "skip" else out
        if layer.mlp_post_norm is not None and hooks == "mlp":
            out = apply_norm(layer.mlp_post_norm, out, seen.mlp_post_scale[number])
        np.testing.assert_allclose(trace.mlp.error[number], seen.mlp_out[number] - out, atol=1e-12)


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_reading_before_the_gain_sees_a_layer_norm_centred(name):
    model = model_of(name)
    layers = []
    for layer in range(model.n_layers):
        w = random_layer(model, "relu", seed=layer)
        decoders = ((layer, DenseRows(w["W_dec"])),)
        layers.append(CoderLayer(layer, DenseRows(w["W_enc"]), w["b_enc"], decoders, w["b_dec"], ReLU()))
    dictionary = Coders(layers, CoderSettings(read_site="mlp_in_no_gain"))
    trace = extract(model, dictionary, prompt_of(model), PLAIN)
    assert_runs(trace, model, torch.float64)
    seen = forward(model, trace.prompt.ids)
    stream = seen.mlp_in[1] - (seen.mlp_in[1].mean(-1, keepdim=True) if name == "gpt2" else 0)
    z = (stream * seen.mlp_scale[1][:, None]) @ layers[1].encoder.all().T + layers[1].encoder_bias
    f = trace.features
    here = f.layer == 1
    np.testing.assert_allclose(f.pre_activation[here], z.numpy()[f.position[here], f.id[here]], rtol=1e-10)


@pytest.mark.parametrize("name", ["llama-biases", "gpt2", "gemma2", "neox"])
@pytest.mark.parametrize("kind", ["neurons", "jumprelu", "skip"])
@pytest.mark.parametrize("select", [AllActive(), ByAttribution(50), NormShare(0.7)], ids=repr)
def test_single_precision_closes_to_a_ten_thousandth(sets, name, kind, select):
    model = model_of(name, torch.float32)
    dictionary = sets(name, kind, "mlp", torch.float32)
    trace = extract(model, dictionary, prompt_of(model), Extraction(select, dormant_margin=0.2))
    assert_runs(trace, model, torch.float32)
    arrays = [trace.vectors, trace.mlp.read_scale, trace.features.bias, trace.targets.vector, trace.mlp.error]
    assert {a.dtype for a in arrays if a is not None} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "neox", "qwen3"])
def test_neuron_activations_are_those_inside_the_hugging_face_module(name):
    model = model_of(name)
    trace = extract(model, Neurons(model), prompt_of(model), PLAIN)
    seen = {}
    ends = ("down_proj", "mlp.c_proj", "dense_4h_to_h")
    downs = [m for path, m in model.module.named_modules() if path.endswith(ends)]
    hooks = [
        down.register_forward_pre_hook(lambda _, args, layer=layer: seen.__setitem__(layer, args[0][0]))
        for layer, down in enumerate(downs)
    ]
    with torch.no_grad():
        model.module(torch.tensor([trace.prompt.ids]))
    for hook in hooks:
        hook.remove()
    f = trace.features
    own = np.array([seen[layer][p, i] for layer, p, i in zip(f.layer, f.position, f.id, strict=True)])
    np.testing.assert_allclose(f.activation, own, rtol=1e-4, atol=1e-5)  # Hugging Face norms in float32


def test_a_dictionary_of_another_model_is_refused(sets):
    with pytest.raises(Incompatible, match="neurons"):
        extract(model_of("llama"), Neurons(model_of("gpt2")), prompt_of(model_of("llama")), PLAIN)


def test_the_record_says_what_was_done():
    model = model_of("llama")
    told = []
    trace = extract(
        model,
        Neurons(model),
        prompt_of(model),
        Extraction(ByAttribution(30)),
        progress=lambda *s: told.append(s),
    )
    assert trace.meta["model"]["fingerprint"] == model.fingerprint
    assert trace.meta["dictionary"]["kind"] == "neurons"
    assert trace.meta["selection"] == {
        "name": "ByAttribution",
        "settings": {"most": 30},
        "kept": 30,
        "active": 3 * 6 * 48,
    }
    assert (trace.meta["n_tokens"], trace.meta["dtype"]) == (6, "float64")
    assert [s[0] for s in told if s[1] == s[2]] == ["forward", "choose features", "freeze layers", "labels"]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: NormShare(0),
        lambda: NormShare(1.1),
        lambda: ByAttribution(0),
        lambda: Extraction(dormant_margin=-1),
        lambda: Extraction(dormant_margin=np.nan),
    ],
)
def test_settings_outside_their_range_are_refused(bad):
    with pytest.raises(UsageError, match="give"):
        bad()


@pytest.mark.smollm2
def test_four_thousand_neurons_of_smollm2_close():
    model = load_model("smollm2")
    text = "When Mary and John went to the store, John gave a drink"
    trace = extract(
        model, Neurons(model), Prompt.of(text, model), Extraction(ByAttribution(4000), labels=False)
    )
    assert len(trace.features) == 4000
    f, att, mlp = trace.features, trace.attention, trace.mlp
    read, write = np.zeros((4000, trace.width)), np.zeros((4000, trace.width))
    np.add.at(
        read,
        trace.reads.feature,
        trace.reads.coefficient[:, None] * trace.vectors[trace.reads.vector].astype(float),
    )
    np.add.at(write, trace.writes.feature, trace.vectors[trace.writes.vector].astype(float))
    r, z = trace.token_embedding.astype(float), np.zeros(4000)
    groups = att.pattern.shape[1] // att.value.shape[1]
    for layer in range(trace.n_layers):
        value = (r * att.read_scale[layer][:, None]) @ att.value[layer].transpose(0, 2, 1)
        heads = att.pattern[layer] @ value.repeat(groups, axis=0)
        mid = r + (heads @ att.output[layer].transpose(0, 2, 1)).sum(axis=0)
        x = mid * mlp.read_scale[layer][:, None]
        here = f.layer == layer
        z[here] = f.bias[here] + np.einsum("fd,fd->f", read[here], x[f.position[here]])
        r = mid + mlp.error[layer]
        np.add.at(r, f.position[here], z[here, None] * write[here])  # gated neurons: a = z
    values = np.einsum("td,td->t", trace.targets.vector, r[trace.targets.position]) + trace.targets.bias
    assert np.max(np.abs(z - f.pre_activation) / np.maximum(1, np.abs(z))) < 1e-4
    np.testing.assert_allclose(values, trace.targets.value, rtol=1e-4)
    own = forward(model, trace.prompt.ids).logits[-1].double()
    for target, value in zip(trace.meta["targets"], trace.targets.value, strict=True):
        assert value == pytest.approx(float(own[target["token_ids"][0]] - own.mean()), rel=1e-4)
