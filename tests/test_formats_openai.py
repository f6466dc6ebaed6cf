"""openai/sparse_autoencoder: what its own code computed (tests/fixtures/make_openai.py) is ours."""

from __future__ import annotations

import json

import pytest
import torch
from coders_on_disk import FIXTURES, D, layout_of, outputs, read, small_model
from malicious import Attack
from safetensors.torch import load_file
from tiny_models import tiny_model

from circuits.cli.main import run
from circuits.dictionaries.formats import openai
from circuits.dictionaries.load import describe, load_dictionary
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.extraction.extract import extract
from circuits.prompt import Prompt

CASES = {"relu": "relu", "unnamed": "relu", "topk": "top-5", "topk_signed": "top-5"}
HERE = {"layer": 1, "site": "block_out"}


def fixture(name):
    folder = FIXTURES / "openai" / name
    return folder / "autoencoder.pt", load_file(folder / "expected.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_activations_and_outputs_are_the_librarys(name):
    path, expected = fixture(name)
    coders = read(path, **HERE)
    encoding, out = outputs(coders, 1, expected["x"])
    torch.testing.assert_close(encoding.activation, expected["activations"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[1], expected["output"], rtol=1e-5, atol=1e-5)
    (term,) = coders.read_terms(1, expected["x"])
    scale = 1 if term.coefficient is None else term.coefficient
    z = scale * (expected["x"] @ term.rows.all().T) + term.bias
    torch.testing.assert_close(z, encoding.pre_activation, rtol=1e-5, atol=1e-5)


def test_the_standard_deviation_is_unbiased_and_negative_survivors_stay_with_identity():
    path, expected = fixture("topk")
    state, x = torch.load(path, weights_only=True), expected["x"]
    centred = x - x.mean(dim=1, keepdim=True)
    std = (centred.square().sum(dim=1, keepdim=True) / (D - 1)).sqrt()
    z = (centred / (std + 1e-5) - state["pre_bias"]) @ state["encoder.weight"].T + state["latent_bias"]
    torch.testing.assert_close(read(path, **HERE).encode(1, x).pre_activation, z, rtol=1e-5, atol=1e-5)
    assert (fixture("topk_signed")[1]["activations"] < 0).any()


@pytest.mark.parametrize("name", CASES)
def test_layout_and_place_are_told(name):
    path, _ = fixture(name)
    assert layout_of(path) is openai
    with pytest.raises(UsageError, match=r"\?layer=5&site=block_out"):
        read(path)
    coders = read(path, layer=2, site="mlp_out")
    assert (coders.kind, coders.layers, coders.read_site) == ("sae", (2,), "mlp_out")
    told = describe(f"{path}?layer=1&site=block_out")
    assert (told["features"], told["width"], told["activation"]) == (24, D, CASES[name])
    assert told["fingerprint"] == coders.fingerprint
    assert told["bytes"] == path.stat().st_size
    json.dumps(told)


def test_it_explains_a_prompt_of_a_model_with_layer_norms():
    model = small_model("gpt2")
    dictionary = load_dictionary(f"{fixture('topk')[0]}?layer=1&site=block_out", model)
    trace = extract(model, dictionary, Prompt.of("t1 t2 t3", model))
    assert 0 < len(trace.features) <= 3 * 5
    assert trace.meta["dictionary"]["bytes"] == fixture("topk")[0].stat().st_size


def edited(tmp_path, name, change):
    """Gives a copy of a fixture with another state."""
    state = dict(torch.load(fixture(name)[0], weights_only=True))
    change(state)
    torch.save(state, tmp_path / "edited.pt")
    return tmp_path / "edited.pt"


def _nan(key):
    return lambda state: state[key].view(-1)[:1].fill_(torch.nan)


BROKEN = {
    "activation": (
        "relu",
        lambda s: s.update(activation="JumpReLU"),
        "activation 'JumpReLU'.*known are ReLU",
    ),
    "options": ("relu", lambda s: s.update(activation_state_dict={"k": 3}), r"'ReLU' with \{'k': 3\}"),
    "k": ("topk", lambda s: s["activation_state_dict"].update(k=2.5), r"'k': 2\.5"),
    "after": ("topk", lambda s: s["activation_state_dict"].update(postact_fn="GELU"), "'GELU'"),
    "setting": ("topk", lambda s: s.update(scale="big"), "holds scale, which"),
    "unknown": ("topk", lambda s: s.update(extra=torch.ones(3)), "holds extra, which"),
    "tied": (
        "relu",
        lambda s: s.update({"decoder.linear.weight": s.pop("decoder.weight")}),
        "lacks decoder.weight",
    ),
    "transposed": (
        "relu",
        lambda s: s.update({"encoder.weight": s["encoder.weight"].T.contiguous()}),
        r"encoder\.weight F32\[16, 24\]",
    ),
    "integers": ("relu", lambda s: s.update(pre_bias=torch.ones(16).int()), r"pre_bias torch\.int32"),
    "NaN bias": ("relu", _nan("latent_bias"), "latent_bias in .* NaN"),
    "NaN encoder": ("relu", _nan("encoder.weight"), r"encoder\.weight in .* NaN"),
    "NaN decoder": ("relu", _nan("decoder.weight"), r"decoder\.weight in .* NaN"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_state_that_cannot_be_trusted_is_refused_in_one_sentence(tmp_path, case):
    name, change, message = BROKEN[case]
    with pytest.raises(InvalidFile, match=message) as caught:
        outputs(read(edited(tmp_path, name, change), **HERE), 1, torch.ones(2, D))
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path, capsys):
    path = edited(tmp_path, "topk", lambda _: None)
    path.write_bytes(path.read_bytes()[:-100])
    assert run(["info", f"{path}?layer=1&site=block_out"]) == 4
    assert capsys.readouterr().err.count("\n") <= 3


@pytest.mark.parametrize("keys", [True, False])
def test_pickled_code_is_refused_and_never_run(tmp_path, capsys, keys):
    mark = tmp_path / "it ran"
    if keys:
        path = edited(tmp_path, "topk", lambda state: state.update(extra=Attack(mark)))
    else:
        path = tmp_path / "attack.pt"
        torch.save(Attack(mark), path)
    assert run(["info", f"{path}?layer=1&site=block_out"]) == 4
    said = " ".join(capsys.readouterr().err.split())
    assert ("pickled code (posix.mkdir), which is never run" in said) == keys
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the attack is real"


def test_an_sae_of_another_width_is_refused():
    with pytest.raises(Incompatible, match="width 16, but llama has width 32"):
        load_dictionary(f"{fixture('relu')[0]}?layer=1&site=block_out", tiny_model("llama"))


def test_a_place_the_model_has_not_or_where_nothing_can_be_written_is_refused():
    path, _ = fixture("relu")
    with pytest.raises(Incompatible, match="speaks of layer 7, but gemma2 has layers 0 to 2"):
        load_dictionary(f"{path}?layer=7&site=block_out", small_model())
    with pytest.raises(UsageError, match="cannot write at 'residual'"):
        load_dictionary(f"{path}?layer=1&site=residual", small_model())
