"""Extraction: a trace's equations, run literally, are the model; selections keep what they promise."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from literal import run_trace
from tiny_dictionaries import HOOKS, KINDS, write_transcoders
from tiny_models import ARCHITECTURES, tiny_model

from circuits.dictionaries.load import load_dictionary
from circuits.dictionaries.neurons import Neurons
from circuits.errors import Incompatible, NotFound, UsageError
from circuits.extract.estimate import ASSUMED_ACTIVE, estimate
from circuits.extract.extract import Extraction, extract
from circuits.extract.select import AllActive, ByAttribution, NormShare
from circuits.models.forward import apply_norm, attend, forward
from circuits.models.load import load_model
from circuits.prompt import FeatureTarget, Logit, LogitDifference, Prompt, TopLogits

TEXT = "t3 t14 t15 t9 t2 t60"
PLAIN = Extraction(AllActive(), labels=False)
TARGETS = (TopLogits(0.5, 3), LogitDifference("t3", "t9"), Logit("t5"))
BUILDS = ("llama-biases", "gpt2", "gpt2-relu", "gemma2", "gemma3-capped", "neox", "qwen2")
CLOSE = {torch.float32: {"rtol": 1e-4, "atol": 1e-5}, torch.float64: {"rtol": 1e-10, "atol": 1e-11}}


@functools.cache
def model_of(name, dtype=torch.float64):
    return tiny_model(name, dtype=dtype)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Gives a dictionary by architecture, kind and hooks; each set is written once."""
    root = tmp_path_factory.mktemp("sets")

    @functools.cache
    def made(name, kind, hooks, dtype):
        model = model_of(name, dtype)
        if kind == "neurons":
            return Neurons(model)
        path = root / f"{name}-{kind}-{hooks}-{dtype}"
        return load_dictionary(str(write_transcoders(path, model, kind, hooks)), model)

    return lambda name, kind, hooks="mlp", dtype=torch.float64: made(name, kind, hooks, dtype)


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


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "gpt2-upcast"])
def test_a_trace_of_all_neurons_is_the_model_and_leaves_no_error(name):
    model = model_of(name)
    trace = extract(model, Neurons(model), prompt_of(model), PLAIN)
    assert_runs(trace, model, torch.float64)
    assert trace.mlp.error is None
    assert trace.dtype == np.float64


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


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gemma3-capped", "neox"])
def test_target_values_are_the_modules_demeaned_logits(name):
    model = model_of(name)
    trace = extract(model, Neurons(model), prompt_of(model), PLAIN)
    with torch.no_grad():
        own = model.module(torch.tensor([trace.prompt.ids])).logits[0, -1].double()
    chances = torch.softmax(own, dim=-1)
    cap = model.anatomy.logit_softcap
    logits = own if cap is None else cap * torch.atanh(own / cap)
    demeaned = (logits - logits.mean()).numpy()
    for target, value in zip(trace.meta["targets"], trace.targets.value, strict=True):
        ids = target["token_ids"]
        expected = demeaned[ids[0]] - (demeaned[ids[1]] if len(ids) > 1 else 0)
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)
        if len(ids) == 1:
            assert target["probability"] == pytest.approx(float(chances[ids[0]]), rel=1e-4)
    assert ("softcap" in trace.meta) == (cap is not None)


def test_top_logits_cover_their_share_with_the_fewest_tokens():
    model = model_of("llama")
    ids = model.encode(TEXT)
    chances = torch.softmax(forward(model, ids).logits[-1], dim=-1)
    trace = extract(model, Neurons(model), prompt_of(model, TopLogits(0.5, 50)), PLAIN)
    got = [target["token_ids"][0] for target in trace.meta["targets"]]
    covered = float(chances[got].sum())
    assert covered >= 0.5 > covered - float(chances[got[-1]])
    assert got == chances.argsort(descending=True)[: len(got)].tolist()
    np.testing.assert_allclose(trace.targets.weight, (chances[got] / covered).numpy())
    few = extract(model, Neurons(model), prompt_of(model, TopLogits(1.0, 4)), PLAIN)
    assert len(few.targets) == 4


def test_targets_share_their_weight_and_none_is_listed_twice():
    model = model_of("llama")
    best = model.decode(int(forward(model, model.encode(TEXT)).logits[-1].argmax()))
    trace = extract(model, Neurons(model), prompt_of(model, TopLogits(0.01, 1), Logit(best)), PLAIN)
    assert trace.targets.names == (f"logit:{best}",)
    assert trace.targets.weight.tolist() == [1.0]
    several = extract(model, Neurons(model), prompt_of(model), PLAIN).targets
    assert several.weight.sum() == pytest.approx(1)
    assert several.weight[several.names.index("logit:t3-t9")] == pytest.approx(1 / 3)


# --- selection -------------------------------------------------------------------------------------


def keys(trace):
    f = trace.features
    return list(zip(f.layer.tolist(), f.position.tolist(), f.id.tolist(), strict=True))


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
            part = x @ term.rows.all().T + (0 if term.bias is None else term.bias)
            z = z + (part if term.coefficient is None else part * term.coefficient)
        a = torch.where(encoding.activation != 0, z * encoding.activation / encoding.pre_activation, 0 * z)
        a.retain_grad()
        (write,) = dictionary.write_terms(number)
        out = a @ write.rows.all()
        skip, constant = dictionary.skip(number), dictionary.constant(number)
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
    rows = type(dictionary.write_terms(0)[0].rows)
    asked = set()
    real = rows.take

    def spy(self, ids):
        if self.key == "W_dec":
            asked.update((self.path.name, int(i)) for i in ids)
        return real(self, ids)

    monkeypatch.setattr(rows, "take", spy)
    trace = extract(model, dictionary, prompt_of(model), Extraction(labels=False))
    assert asked == {(f"layer_{layer}.safetensors", i) for layer, _, i in keys(trace)}


# --- labels ----------------------------------------------------------------------------------------


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


# --- targets that do not exist ---------------------------------------------------------------------


class Words:
    """Tokenises greedily into the longest known pieces, leading spaces among them."""

    pieces = ("Mary", " Mary", "John", " gift", "gif", "t", " ", "\n", "\t")

    def __call__(self, text, **options):
        ids = []
        while text:
            best = max((p for p in self.pieces if text.startswith(p)), key=len, default=None)
            ids.append(len(self.pieces) if best is None else self.pieces.index(best))
            text = text[len(best or text[0]) :]
        return {"input_ids": ids}

    def decode(self, ids, **options):
        return "".join(self.pieces[i] if i < len(self.pieces) else f"<{i}>" for i in map(int, ids))


@functools.cache
def worded():
    model = model_of("llama")
    return dataclasses.replace(model, tokenizer=Words())


def ask(*targets):
    return extract(worded(), Neurons(worded()), Prompt.of("Mary gift", worded(), targets=targets), PLAIN)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (Logit("gift"), UsageError, r"'gift' is 2 tokens \('gif', 't'\).*mean ' gift'"),
        (Logit("MaryJohn"), UsageError, r"2 tokens \('Mary', 'John'\)"),
        (Logit("Jonh"), NotFound, "no token 'Jonh'.*'John'"),
        (LogitDifference(" Mary", "Ж"), NotFound, "no token 'Ж'"),
        (LogitDifference("John", "John"), UsageError, "minus itself"),
        (FeatureTarget("7/0@0"), NotFound, "No layer 7.* 3,"),
        (FeatureTarget("0/48@0"), NotFound, "No feature 48.* 48,"),
        (FeatureTarget("0/0@2"), NotFound, "No position 2.* 2,"),
    ],
)
def test_a_target_that_does_not_exist_is_refused(target, error, message):
    with pytest.raises(error, match=message):
        ask(target)


def test_a_feature_that_is_off_is_no_target(sets):
    model, dictionary = model_of("llama"), sets("llama", "jumprelu")
    full = extract(model, dictionary, prompt_of(model), Extraction(labels=False, dormant_margin=np.inf))
    on = full.features.activation != 0
    f = full.features
    row = next(
        i
        for i in np.flatnonzero(~on)
        if on[(f.layer == f.layer[i]) & (f.id == f.id[i])].any() and f.layer[i] == 1
    )
    node = f"1/{f.id[row]}@{f.position[row]}"
    with pytest.raises(NotFound, match=rf"{node} is off on this prompt. It is active as 1/{f.id[row]}@"):
        extract(model, dictionary, prompt_of(model, FeatureTarget(node)), PLAIN)


def test_names_that_would_collide_carry_the_tokens_number():
    names = ask(Logit("Mary"), Logit(" Mary"), Logit("John"), Logit("\n"), LogitDifference("John", " Mary"))
    assert names.targets.names == (
        "logit:Mary#0",
        "logit:Mary#1",
        "logit:John",
        r"logit:'\n'",
        "logit:John-Mary",
    )


def test_a_feature_target_is_its_pre_activation(sets):
    model, dictionary = model_of("gemma2"), sets("gemma2", "relu")
    full = extract(model, dictionary, prompt_of(model), PLAIN)
    layer, p, i = keys(full)[-1]
    trace = extract(model, dictionary, prompt_of(model, FeatureTarget(f"{layer}/{i}@{p}")), PLAIN)
    row = trace.targets.feature[0]
    assert keys(trace)[row] == (layer, p, i)
    assert trace.targets.names == (f"{layer}/{i}@{p}",)
    assert trace.targets.value[0] == trace.features.pre_activation[row]
    assert (trace.targets.vector == 0).all()
    assert_runs(trace, model, torch.float64)


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


# --- estimate --------------------------------------------------------------------------------------


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


# --- a real model ----------------------------------------------------------------------------------


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
