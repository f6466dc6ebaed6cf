"""Dictionaries of other libraries, from their own files to a graph: the sums close, the edges are exact."""

from __future__ import annotations

import shutil

import pytest
import torch
from coders_on_disk import FIXTURES, small_model

from circuits.dictionaries.load import load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.extraction.extract import Extraction, extract
from circuits.prompt import Prompt

ALL = (Edges(tolerance=0, max_features=None),)
CASES = {  # what is read, on which architecture
    "sparsify, signed": ("sparsify/signed/layers.1", "gemma2"),
    "sparsify, groups": ("sparsify/groupmax/layers.1.mlp", "llama"),
    "sparsify, skip transcoders": ("sparsify/skip/h.{}.mlp", "gpt2"),
    "openai, layer norm": ("openai/topk/autoencoder.pt?layer=1&site=block_out", "gpt2"),
    "openai, signed": ("openai/topk_signed/autoencoder.pt?layer=2&site=mlp_out", "neox"),
    "dictionary_learning, norms folded": ("dictionary_learning/april_update", "gpt2"),
}


@pytest.mark.parametrize("case", CASES)
def test_from_a_librarys_file_to_exact_edges(tmp_path, case):
    place, name = CASES[case]
    model = small_model(name, torch.float64)
    source = FIXTURES / place
    if "{}" in place:  # transcoders are of all layers
        for layer in range(model.n_layers):
            shutil.copytree(str(source).format(1), tmp_path / source.name.format(layer))
        source = tmp_path
    trace = extract(
        model, load_dictionary(str(source), model), Prompt.of("t1 t2 t3", model), Extraction(labels=False)
    )
    assert len(trace.features) >= 5
    graph = attribute(trace, ALL)
    assert graph.meta["completeness_residual"] <= 1e-12
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    fast = {(t, s): w for s, t, w, _ in graph.edges.iter_rows() if w != 0}
    assert set(fast) <= set(slow)
    gap = max(abs(fast.get(edge, 0.0) - w) for edge, w in slow.items())
    assert gap <= 1e-12 * max(map(abs, slow.values()))
