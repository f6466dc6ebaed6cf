"""What a trace holds of queries and keys gives the patterns it was recorded with, for every architecture."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from extraction import PLAIN, prompt_of
from literal_scores import literal_scores
from safetensors.numpy import save_file
from tiny_models import ARCHITECTURES, tiny_model

from circuits.dictionaries.neurons import Neurons
from circuits.errors import InvalidFile, UnsupportedModel
from circuits.extraction.estimate import estimate
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import AllActive
from circuits.models.forward import forward
from circuits.models.load import load_model
from circuits.prompt import Prompt
from circuits.trace_check import check
from circuits.trace_io import check_trace, flatten, load_trace, save_trace

SCORES = replace(PLAIN, scores=True)
WINDOWS = {  # keys a query sees, by layer; the others see all
    "mistral": (3, 3, 3),
    "qwen2-window": (None, 3, 3),
    "gemma2": (4, None, 4),
    "gemma2-uncapped": (4, None, 4),
    "gemma3": (4, None, 4),
    "gemma3-capped": (4, 4, 4),
}
CAPS = {"gemma2": 50.0}


def extracted(name, dtype=torch.float32):
    model = tiny_model(name, dtype=dtype)
    prompt = prompt_of(model)
    return extract(model, Neurons(model), prompt, SCORES), forward(model, prompt.ids)


def softmax_of(name, scores):
    """The pattern that follows from scores: cap, window, causality, softmax."""
    if name in CAPS:
        scores = CAPS[name] * np.tanh(scores / CAPS[name])
    layers, _, n, _ = scores.shape
    pattern = np.zeros_like(scores)
    for layer in range(layers):
        window = WINDOWS.get(name, (None,) * layers)[layer] or n
        for q in range(n):
            seen = slice(max(0, q - window + 1), q + 1)
            weight = np.exp(scores[layer, :, q, seen])
            pattern[layer, :, q, seen] = weight / weight.sum(axis=1, keepdims=True)
    return pattern


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_softmax_over_recomputed_scores_is_the_recorded_pattern(name):
    trace, run = extracted(name)
    scores = literal_scores(trace, run.attention_in.numpy())
    np.testing.assert_allclose(softmax_of(name, scores), trace.attention.pattern, rtol=0, atol=1e-5)
    check_trace(trace)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"gpt2-upcast"}))  # float32 only
def test_in_double_throughout_they_agree_to_ten_digits(name, monkeypatch):
    model = tiny_model(name, dtype=torch.float64)
    # transformers takes norms, rotation and softmax in float32 whatever the weights are
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    prompt = prompt_of(model)
    trace, run = extract(model, Neurons(model), prompt, SCORES), forward(model, prompt.ids)
    pattern = softmax_of(name, literal_scores(trace, run.attention_in.numpy()))
    np.testing.assert_allclose(pattern, trace.attention.pattern, rtol=0, atol=1e-10)


def test_scores_are_left_out_unless_asked_for():
    model = tiny_model("llama")
    trace = extract(model, Neurons(model), prompt_of(model), PLAIN)
    assert trace.scores is None
    assert not [key for key in flatten(trace)[0] if key.startswith("score.")]
    asked = extract(model, Neurons(model), prompt_of(model), SCORES)
    assert asked.nbytes - trace.nbytes == sum(
        v.nbytes for v in vars(asked.scores).values() if isinstance(v, np.ndarray)
    )
    more, less = (estimate(model, Neurons(model), 6, s).trace_bytes for s in (SCORES, PLAIN))
    assert more - less == asked.scores.query.nbytes + asked.scores.key.nbytes


def test_the_softcap_is_noted():
    trace, _ = extracted("gemma2")
    assert "50" in trace.meta["score_softcap"]
    assert "score_softcap" not in extracted("gemma2-uncapped")[0].meta


@pytest.mark.parametrize("name", ["gpt2", "qwen3-biases", "neox"])
def test_scores_survive_a_file(name, tmp_path):
    trace, _ = extracted(name)
    save_trace(trace, tmp_path / "t.safetensors")
    again = load_trace(tmp_path / "t.safetensors").scores
    for part, values in vars(trace.scores).items():
        np.testing.assert_array_equal(getattr(again, part), values)


def test_keys_left_out_have_their_defaults(tmp_path):
    trace, _ = extracted("llama")
    arrays, header = flatten(trace)
    optional = {f"score.{part}" for part in ("query_scale", "key_scale", "factor", "angle")}
    few = {key: np.ascontiguousarray(array) for key, array in arrays.items() if key not in optional}
    assert len(few) == len(arrays) - len(optional)
    save_file(few, tmp_path / "t.safetensors", metadata={"circuits": json.dumps(header)})
    again = load_trace(tmp_path / "t.safetensors").scores
    assert again.angle is None
    assert (again.query_scale == 1).all()
    assert (again.key_scale == 1).all()
    np.testing.assert_allclose(again.factor, trace.scores.query.shape[2] ** -0.5, rtol=1e-6)


def test_a_module_whose_scores_are_not_what_its_parts_say_is_refused():
    model = tiny_model("qwen3")
    model.module.model.layers[1].self_attn.scaling *= 1.1
    prompt = prompt_of(model)
    with pytest.raises(UnsupportedModel, match=r"attention scores of layer 1 .* differ .* by up to 0\.\d+"):
        extract(model, Neurons(model), prompt, SCORES)
    assert extract(model, Neurons(model), prompt, PLAIN).scores is None


def test_broken_scores_are_refused_by_name():
    trace, _ = extracted("llama")
    arrays, header = flatten(trace)
    without = [{k: a for k, a in arrays.items() if not k.startswith(p)} for p in ("score.key", "attention.")]
    cases = {
        r"lacks score\.key\.": {**without[0]},
        r"lacks attention\.pattern": {**without[1]},
        r"score\.key has shape .* instead of \(L=3, K=2, Q=12, d=32\)": {
            **arrays,
            "score.key": arrays["score.key"][:, :, 1:],
        },
        r"P=7 pairs .* Q=12": {**arrays, "score.angle": np.zeros((3, 6, 7), np.float32)},
        r"score\.factor holds 1 numbers that are NaN": {
            **arrays,
            "score.factor": np.array([1, np.nan, 1], np.float32),
        },
    }
    for sentence, broken in cases.items():
        with pytest.raises(InvalidFile, match=sentence):
            check(broken, header)


@pytest.mark.smollm2
def test_smollm2s_scores_give_its_patterns():
    model = load_model("smollm2")
    prompt = Prompt.of("The capital of France is", model)
    trace = extract(model, Neurons(model), prompt, Extraction(AllActive(), labels=False, scores=True))
    scores = literal_scores(trace, forward(model, prompt.ids).attention_in.numpy())
    np.testing.assert_allclose(softmax_of("smollm2", scores), trace.attention.pattern, rtol=0, atol=1e-5)
    assert json.dumps(dict(trace.meta))
