"""Targets: their values are the model's, their names are distinct, and impossible ones are refused."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from extraction import PLAIN, TEXT, assert_runs, dictionaries, keys, model_of, prompt_of

from circuits.dictionaries.neurons import Neurons
from circuits.errors import NotFound, UsageError
from circuits.extraction.extract import Extraction, extract
from circuits.models.forward import forward
from circuits.prompt import FeatureTarget, Logit, LogitDifference, Prompt, TopLogits


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return dictionaries(tmp_path_factory.mktemp("sets"))


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
