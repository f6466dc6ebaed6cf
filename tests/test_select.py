"""Selections keep what they promise, brute force as the judge; so do labels and estimates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from extraction import PLAIN, TARGETS, TEXT, assert_runs, dictionaries, keys, model_of, prompt_of

from circuits.dictionaries.neurons import Neurons
from circuits.errors import UsageError
from circuits.extraction.estimate import ASSUMED_ACTIVE, estimate
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.lens import lens_labels
from circuits.extraction.select import AllActive, ByAttribution, NormShare
from circuits.models.forward import apply_norm, attend, forward
from circuits.prompt import FeatureTarget


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


def literal_attributions(model, dictionary, aims):
    """Total attributions by torch.autograd through the frozen model, written out with norms as norms.

    Gives {(layer, position, feature): [a · dT/da for each aim]}; an aim is ("logits", direction) or a
    feature (layer, id, position). Reads the model's parts and the dictionary's, nothing of `extract`.
    """
    anatomy, held = model.anatomy, forward(model, model.encode(TEXT))
    r = anatomy.embedding[list(held.ids)] * anatomy.embedding_scale
    r = r if anatomy.position_embedding is None else r + anatomy.position_embedding[: len(r)]
    r = r.clone().requires_grad_()
    activations, pre = [], []
    for number, layer in enumerate(anatomy.layers):
        y = attend(
            layer.attention,
            apply_norm(layer.attention_norm, r, held.attention_scale[number]),
            held.pattern[number],
        )
        if layer.attention_post_norm is not None:
            y = apply_norm(layer.attention_post_norm, y, held.attention_post_scale[number])
        mid = r + y
        source = r if anatomy.parallel else mid
        x = source
        if dictionary.read_site == "mlp_in":
            x = apply_norm(layer.mlp_norm, source, held.mlp_scale[number])
        with torch.no_grad():
            encoding = dictionary.encode(number, x)
            terms = dictionary.read_terms(number, x)
        z = 0
        for term in terms:
            part = x @ term.rows.all().T
            z = z + (part if term.coefficient is None else part * term.coefficient)
            z = z + (0 if term.bias is None else term.bias)
        a = torch.where(encoding.activation != 0, z * encoding.activation / encoding.pre_activation, 0 * z)
        a.retain_grad()
        (write,) = dictionary.write_terms(number, x)
        out = a @ write.rows.all()
        skip, constant = dictionary.skip(number), dictionary.constant(number, x)
        out = out if skip is None else out + x @ skip.T
        out = out if constant is None else out + constant
        if layer.mlp_post_norm is not None and dictionary.write_site == "mlp_out":
            out = apply_norm(layer.mlp_post_norm, out, held.mlp_post_scale[number])
        r = mid + out + (held.mlp_out[number] - out).detach()
        activations.append(a)
        pre.append(z)
    normed = apply_norm(anatomy.final_norm, r, held.final_scale)
    found = {}
    for aim in aims:
        value = normed[-1] @ aim[1] if aim[0] == "logits" else pre[aim[0]][aim[2], aim[1]]
        for a in activations:
            a.grad = None
        value.backward(retain_graph=True)
        for number, a in enumerate(activations):
            grad = torch.zeros_like(a) if a.grad is None else a.grad
            for p, i in (a != 0).nonzero().tolist():
                found.setdefault((number, p, i), []).append(float(a.detach()[p, i] * grad[p, i]))
    return found


@pytest.mark.parametrize("name", ["llama-biases", "gpt2", "gemma2", "neox"])
@pytest.mark.parametrize("kind", ["neurons", "jumprelu", "topk", "skip"])
def test_by_attribution_keeps_what_autograd_ranks_first(sets, name, kind):
    model, dictionary = model_of(name), sets(name, kind)
    everything = extract(model, dictionary, prompt_of(model), PLAIN)
    last = (everything.features.layer == 2) & (everything.features.activation != 0)
    row = int(np.flatnonzero(last)[-1])
    goal = f"2/{everything.features.id[row]}@{everything.features.position[row]}"
    asked = (*TARGETS, FeatureTarget(goal))
    full = extract(model, dictionary, prompt_of(model, *asked), PLAIN)
    mean, U = model.anatomy.unembedding.mean(0), model.anatomy.unembedding
    aims = []
    for target in full.meta["targets"]:
        ids = target["token_ids"]
        if not ids:
            aims.append((2, int(everything.features.id[row]), int(everything.features.position[row])))
        else:
            aims.append(("logits", U[ids[0]] - (U[ids[1]] if len(ids) > 1 else mean)))
    brute = literal_attributions(model, dictionary, aims)
    size = {key: float(np.abs(values) @ full.targets.weight) for key, values in brute.items()}
    ranked = sorted(size, key=lambda key: -size[key])
    for most in (1, 17, 60):
        kept = extract(
            model, dictionary, prompt_of(model, *asked), Extraction(ByAttribution(most), labels=False)
        )
        forced = (aims[-1][0], aims[-1][2], aims[-1][1])
        assert set(keys(kept)) == set(ranked[:most]) | {forced}
        assert kept.meta["selection"]["active"] == len(size)
        assert_runs(kept, model, torch.float64)


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
@pytest.mark.parametrize("kind", ["neurons", "relu"])
@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_norm_share_covers_its_share_with_the_fewest_features(sets, name, kind, share):
    model, dictionary = model_of(name), sets(name, kind)
    full = extract(model, dictionary, prompt_of(model), PLAIN)
    kept = set(keys(extract(model, dictionary, prompt_of(model), Extraction(NormShare(share), labels=False))))
    sizes = {}
    norm = np.linalg.norm(full.vectors, axis=1)
    for i, vector in zip(full.writes.feature, full.writes.vector, strict=True):
        key = keys(full)[i]
        sizes.setdefault(key[:2], {})[key] = abs(full.features.activation[i]) * norm[vector]
    assert kept <= {key for cell in sizes.values() for key in cell}
    for cell in sizes.values():
        inside = sorted((size for key, size in cell.items() if key in kept), reverse=True)
        total = sum(cell.values())
        assert sum(inside) >= share * total * (1 - 1e-12)
        assert sum(inside[:-1]) < share * total
        assert inside == sorted(cell.values(), reverse=True)[: len(inside)]


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk", "topk-relu"])
def test_dormant_features_are_those_within_the_margin_and_the_gap_bounds_the_rest(sets, kind):
    model, dictionary = model_of("gpt2"), sets("gpt2", kind)
    full = extract(model, dictionary, prompt_of(model), Extraction(labels=False, dormant_margin=np.inf))
    assert len(full.features) == model.n_layers * full.n_positions * dictionary.n_features
    assert np.isinf(full.dormant_gap).all()
    assert_runs(full, model, torch.float64)
    off = full.features.threshold - full.features.pre_activation
    dead = full.features.activation == 0
    for margin in (None, 0.05, 0.4):
        trace = extract(model, dictionary, prompt_of(model), Extraction(labels=False, dormant_margin=margin))
        within = dead & (off < (margin or 0))
        assert set(keys(trace)) == {key for key, keep in zip(keys(full), within | ~dead, strict=True) if keep}
        assert trace.meta["dormant"] == within.sum()
        for layer in range(model.n_layers):
            for p in range(trace.n_positions):
                here = (full.features.layer == layer) & (full.features.position == p) & dead & ~within
                expected = off[here].min() if here.any() else np.inf
                assert trace.dormant_gap[layer, p] == pytest.approx(expected, rel=1e-12)


def test_smooth_gates_have_no_dormant_features():
    model = model_of("gpt2")
    trace = extract(model, Neurons(model), prompt_of(model), Extraction(ByAttribution(9), dormant_margin=5))
    assert trace.dormant_gap is None
    assert len(trace.features) == 9


def test_the_table_is_sorted_and_holds_each_vector_once():
    model = model_of("llama")
    trace = extract(model, Neurons(model), prompt_of(model), Extraction(ByAttribution(200), labels=False))
    assert keys(trace) == sorted(set(keys(trace)))
    unique = len({(layer, i) for layer, _, i in keys(trace)})
    assert trace.vectors.shape == (3 * unique, model.width)  # gate row, up row, down column
    for terms, each in ((trace.reads, 2), (trace.writes, 1)):
        assert (np.bincount(terms.feature) == each).all()
        assert (np.diff(terms.feature) >= 0).all()
        np.testing.assert_array_equal(terms.layer, trace.features.layer[terms.feature])


def test_only_the_kept_decoder_rows_are_asked_for(sets, monkeypatch):
    model, dictionary = model_of("llama"), sets("llama", "relu")
    rows = type(dictionary.write_terms(0, torch.ones(1, model.width))[0].rows)
    asked = set()
    real = rows.take

    def spy(self, ids):
        if self.key == "W_dec":
            asked.update((self.path.name, int(i)) for i in ids)
        return real(self, ids)

    monkeypatch.setattr(rows, "take", spy)
    trace = extract(model, dictionary, prompt_of(model), Extraction(labels=False))
    assert asked == {(f"layer_{layer}.safetensors", i) for layer, _, i in keys(trace)}


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_labels_are_the_tokens_a_node_promotes(name):
    model = model_of(name)
    trace = extract(model, Neurons(model), prompt_of(model), Extraction(ByAttribution(40)))
    norm, U = model.anatomy.final_norm, model.anatomy.unembedding.numpy()
    assert len(trace.labels) == 40
    for row, (layer, p, i) in enumerate(keys(trace)):
        w = trace.vectors[trace.writes.vector[row]] * np.sign(trace.features.activation[row])
        w = w - w.mean() if norm.kind == "layer" else w
        best = np.argsort(-(U @ (norm.gain.numpy() * w)))[:3]
        assert trace.labels[f"{layer}/{i}@{p}"] == "→ " + ", ".join(f'"t{t}"' for t in best)
    assert "provisional" in trace.meta["labels"]
    few = lens_labels(model, trace, np.array([31, 7]))
    f = trace.features
    assert few == {n: trace.labels[n] for n in (f"{f.layer[i]}/{f.id[i]}@{f.position[i]}" for i in (31, 7))}


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("select", [AllActive(), ByAttribution(200)], ids=repr)
def test_the_estimate_bounds_the_trace_within_a_factor_of_two(name, select):
    model = model_of(name)
    settings = Extraction(select, labels=False)
    trace = extract(model, Neurons(model), prompt_of(model), settings)
    stated = estimate(model, Neurons(model), trace.n_positions, settings)
    assert trace.nbytes <= stated.trace_bytes <= 2 * trace.nbytes
    assert len(trace.features) <= stated.features <= 2 * len(trace.features)
    assert stated.peak_bytes > stated.trace_bytes + stated.forward_bytes + stated.weights_bytes
    assert stated.weights_bytes == sum({p.data_ptr(): p.nbytes for p in model.module.parameters()}.values())


def test_the_estimate_for_a_share_is_an_upper_bound():
    model = model_of("gpt2")
    settings = Extraction(NormShare(0.6), labels=False)
    trace = extract(model, Neurons(model), prompt_of(model), settings)
    stated = estimate(model, Neurons(model), trace.n_positions, settings)
    assert len(trace.features) <= stated.features < 6 * 3 * 128
    assert trace.nbytes <= stated.trace_bytes


def test_the_estimate_takes_the_number_of_active_features_where_it_is_known(sets):
    model = model_of("llama")
    assert estimate(model, sets("llama", "topk"), 6).features == 6 * 3 * 7
    assert estimate(model, sets("llama", "relu"), 6, active=5).features == 6 * 3 * 5
    assumed = estimate(model, sets("llama", "relu"), 6)
    assert (assumed.features, str(ASSUMED_ACTIVE) in assumed.assumption) == (6 * 3 * 40, True)
    with pytest.raises(UsageError, match="1 to 64"):
        estimate(model, sets("llama", "relu"), 65)
