"""Broken and unfitting dictionaries are refused in one sentence that says what is wrong."""

from __future__ import annotations

import functools

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_dictionaries import write_transcoders
from tiny_models import ARCHITECTURES, TinyTokens, tiny_model

from circuits.dictionaries.load import load_dictionary
from circuits.errors import Incompatible, InvalidFile, NotFound
from circuits.models.load import model_from_module

THRESHOLD = "activation_function.threshold"


@functools.cache
def model_of(name, dtype=torch.float64):
    return tiny_model(name, dtype=dtype)


def inputs(model, n=5, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, model.width, generator=generator, dtype=torch.float64).to(model.dtype)


def _config(**changes):
    def change(path):
        settings = yaml.safe_load((path / "config.yaml").read_text()) | changes
        kept = {key: value for key, value in settings.items() if value is not None}
        (path / "config.yaml").write_text(yaml.safe_dump(kept))

    return change


def _tensors(**changes):
    def change(path):
        tensors = load_file(path / "layer_1.safetensors")
        for key, edit in changes.items():
            tensors[key] = edit(tensors.get(key))
        kept = {key: value for key, value in tensors.items() if value is not None}
        save_file(kept, path / "layer_1.safetensors")

    return change


def _truncate(path):
    file = path / "layer_2.safetensors"
    file.write_bytes(file.read_bytes()[:-50])


def _nan(tensor):
    tensor[..., 1] = torch.nan
    return tensor


BROKEN = {
    "no config": (lambda path: (path / "config.yaml").unlink(), InvalidFile, "no config.yaml"),
    "not yaml": (
        lambda path: (path / "config.yaml").write_text("a: [model_kind"),
        InvalidFile,
        "could not be read",
    ),
    "other kind": (
        _config(model_kind="cross_layer_transcoder"),
        InvalidFile,
        "cross_layer_transcoder, but holds no W_enc_0",
    ),
    "unknown setting": (_config(pre_scale=2, affine=True), InvalidFile, "affine, pre_scale"),
    "unknown read hook": (_config(feature_input_hook="hook_q"), Incompatible, "hook_q.*mlp.hook_in"),
    "unknown write hook": (
        _config(feature_output_hook="mlp.hook_in"),
        Incompatible,
        "known are mlp.hook_out",
    ),
    "no hook": (_config(feature_output_hook=None), Incompatible, "None"),
    "unknown activation": (_config(activation="swish"), InvalidFile, "swish"),
    "top-k without k": (_config(activation="topk"), InvalidFile, "k None"),
    "k without top-k": (_config(k=3), InvalidFile, "without activation"),
    "top-k and thresholds": (
        lambda path: (
            _config(activation="topk", k=3)(path),
            _tensors(**{THRESHOLD: lambda _: torch.ones(40)})(path),
        ),
        InvalidFile,
        "thresholds and top-k",
    ),
    "remote files": (_config(transcoders=["hf://a/b/c.safetensors"]), InvalidFile, "download"),
    "files not a list": (_config(transcoders="layer_0.safetensors"), InvalidFile, "list of files"),
    "a listed file missing": (_config(transcoders=["x.safetensors"] * 3), InvalidFile, "lacks x.safetensors"),
    "a layer missing": (
        lambda path: (path / "layer_1.safetensors").unlink(),
        InvalidFile,
        "layer_1.safetensors",
    ),
    "last layer missing": (
        lambda path: (path / "layer_2.safetensors").unlink(),
        Incompatible,
        "2 layers.* 3",
    ),
    "truncated": (_truncate, InvalidFile, "layer_2.safetensors is no whole"),
    "a tensor missing": (_tensors(b_dec=lambda _: None), InvalidFile, "lacks b_dec"),
    "a tensor too many": (_tensors(W_gate=lambda _: torch.ones(2)), InvalidFile, "W_gate"),
    "transposed": (_tensors(W_enc=lambda w: w.T.contiguous()), InvalidFile, r"W_enc F64\[32, 40\]"),
    "integers": (_tensors(b_enc=lambda b: b.int()), InvalidFile, "b_enc I32"),
    "NaN bias": (_tensors(b_enc=_nan), InvalidFile, "b_enc in .* NaN"),
    "unequal layers": (
        _tensors(W_enc=lambda w: w[:9].clone(), W_dec=lambda w: w[:9].clone(), b_enc=lambda b: b[:9].clone()),
        InvalidFile,
        "40, 9, 40",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_set_is_refused_in_one_sentence(tmp_path, case):
    model = model_of("llama")
    path = write_transcoders(tmp_path / "t", model, "relu")
    break_it, error, message = BROKEN[case]
    break_it(path)
    with pytest.raises(error, match=message) as caught:
        load_dictionary(str(path), model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["W_enc", "W_dec"])
def test_nan_in_a_matrix_is_found_when_it_is_read(tmp_path, key):
    model = model_of("llama")
    path = write_transcoders(tmp_path / "t", model, "relu")
    _tensors(**{key: _nan})(path)
    dictionary = load_dictionary(str(path), model)
    use = {
        "W_enc": lambda: dictionary.encode(1, inputs(model)),
        "W_dec": lambda: dictionary.write_terms(1, torch.zeros(1, model.width))[0].rows.take([0]),
    }
    with pytest.raises(InvalidFile, match=rf"{key} in .*layer_1"):
        use[key]()


def test_a_set_for_another_width_is_refused(tmp_path):
    module = ARCHITECTURES["llama"](hidden_size=24).double()
    narrow = model_from_module(module, TinyTokens(), spec="tiny:narrow", name="narrow")
    path = write_transcoders(tmp_path / "t", model_of("llama"), "relu")
    with pytest.raises(Incompatible, match="width 32, but narrow has width 24"):
        load_dictionary(str(path), narrow)


def test_what_is_no_dictionary_is_refused(tmp_path):
    model = model_of("llama")
    with pytest.raises(NotFound, match=r"'neuron'.*'neurons'\?"):
        load_dictionary("neuron", model)
    with pytest.raises(InvalidFile, match="circuit-tracer"):
        load_dictionary(str(tmp_path), model)
