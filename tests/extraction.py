"""What tests of extraction share: cached models and dictionaries, one prompt, the literal run."""

from __future__ import annotations

import functools

import numpy as np
import torch
from literal import run_trace
from tiny_dictionaries import write_transcoders
from tiny_models import tiny_model

from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.neurons import Neurons
from circuits.extraction.extract import Extraction
from circuits.extraction.select import AllActive
from circuits.models.forward import forward
from circuits.prompt import Logit, LogitDifference, Prompt, TopLogits

TEXT = "t3 t14 t15 t9 t2 t60"
PLAIN = Extraction(AllActive(), labels=False)
TARGETS = (TopLogits(0.5, 3), LogitDifference("t3", "t9"), Logit("t5"))
BUILDS = ("llama-biases", "gpt2", "gpt2-relu", "gemma2", "gemma3-capped", "neox", "qwen2")
CLOSE = {torch.float32: {"rtol": 1e-4, "atol": 1e-5}, torch.float64: {"rtol": 1e-10, "atol": 1e-11}}


@functools.cache
def model_of(name, dtype=torch.float64):
    return tiny_model(name, dtype=dtype)


@functools.cache
def _set(root, name, kind, hooks, dtype):
    model = model_of(name, dtype)
    if kind == "neurons":
        return Neurons(model)
    path = root / f"{name}-{kind}-{hooks}-{dtype}"
    return load_dictionary(str(write_transcoders(path, model, kind, hooks)), model)


def dictionaries(root):
    """Gives a dictionary by architecture, kind and hooks; each set is written once below `root`."""
    return lambda name, kind, hooks="mlp", dtype=torch.float64: _set(root, name, kind, hooks, dtype)


def prompt_of(model, *targets):
    return Prompt.of(TEXT, model, targets=targets or TARGETS)


def assert_runs(trace, model, dtype):
    """The trace's own equations give its pre-activations, its targets, and the model's residual stream."""
    run = run_trace(trace)
    np.testing.assert_allclose(run.pre_activation, trace.features.pre_activation, **CLOSE[dtype])
    np.testing.assert_allclose(run.activation, trace.features.activation, **CLOSE[dtype])
    np.testing.assert_allclose(run.targets, trace.targets.value, **CLOSE[dtype])
    pass_ = forward(model, trace.prompt.ids)
    np.testing.assert_allclose(run.residual[-1], pass_.final.numpy(), **CLOSE[dtype])
    np.testing.assert_allclose(run.residual[:-1], pass_.attention_in.numpy(), **CLOSE[dtype])


def keys(trace):
    f = trace.features
    return list(zip(f.layer.tolist(), f.position.tolist(), f.id.tolist(), strict=True))
