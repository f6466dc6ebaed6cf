"""Helpers for the tests of layouts: a tiny model for fixtures of width 16, and a coder's literal output."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from tiny_models import ARCHITECTURES, TinyTokens

from circuits.dictionaries.hints import Hints
from circuits.dictionaries.load import FORMATS
from circuits.models.load import model_from_module

FIXTURES = Path(__file__).parent / "fixtures"
D = 16


@functools.cache
def small_model(name="gemma2", dtype=torch.float32):
    """Gives a tiny model of width 16, three layers."""
    module = ARCHITECTURES[name](hidden_size=D).to(dtype)
    return model_from_module(module, TinyTokens(), spec=f"tiny:{name}", name=name)


def layout_of(path):
    """Gives the layout that recognises a path."""
    return next(layout for layout in FORMATS if layout.recognises(path))


def read(path, model=None, **hints):
    """Gives the coders of a path, not yet checked against the model: one layer is enough."""
    return layout_of(path).load(path, model or small_model(), Hints(**hints))


def outputs(coders, layer, x):
    """Gives activations and the output at every layer written into, by the terms the trace is made of."""
    encoding = coders.encode(layer, x)
    out = {}
    for term in coders.write_terms(layer, x):
        written = encoding.activation @ term.rows.all()
        out[term.layer] = written if term.coefficient is None else written * term.coefficient[:, None]
    out[layer] = out[layer] + coders.constant(layer, x)
    skip = coders.skip(layer)
    if skip is not None:
        out[layer] = out[layer] + x @ skip.T
    return encoding, out


def reconstruction(coders, x):
    """Gives a CLT's activations, and the sum of what all its layers write, biases with it."""
    total, activations = [torch.zeros_like(part) for part in x], []
    for layer in coders.layers:
        encoding, out = outputs(coders, layer, x[layer])
        activations.append(encoding.activation)
        assert list(out) == list(range(layer, len(x)))
        for into, written in out.items():
            total[into] = total[into] + written
    return torch.stack(activations), torch.stack(total)
