"""SAEs as sae-lens 1 to 5 saved them: all settings at the top of ``cfg.json``, older names besides.

::

    architecture: standard (the default), gated, jumprelu, topk
    activation_fn_str (or activation_fn): relu, or topk with activation_fn_kwargs: {k: 32}
    hook_name (or hook_point), hook_layer, hook_head_index
    normalize_activations: as in version 6, or false for none and true for expected_average_only_in
    apply_b_dec_to_input: true unless given
    finetuning_scaling_factor: the tensor scaling_factor [m] multiplies what the decoder is given

The tensors are those of version 6 (`circuits.dictionaries.formats.sae_lens`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from circuits.dictionaries.coders import Coders
from circuits.dictionaries.formats.sae_lens import place_of, settings_file, sizes, top_k, weights_file
from circuits.dictionaries.formats.sae_lens_weights import (
    SaeLensCoder,
    check_choices,
    check_loading,
    describe_coder,
    read_coder,
)
from circuits.dictionaries.formats.tensor_files import refuse_unknown, words
from circuits.dictionaries.hints import Hints
from circuits.errors import Incompatible, InvalidFile
from circuits.models.base import Model

NAME: Final = "sae-lens 1 to 5 (flat cfg.json with hook_name or hook_point, sae_weights.safetensors)"

_RENAMED: Final = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn": "activation_fn_str",
}
_HANDLED: Final = words(
    "architecture d_in d_sae hook_name hook_layer hook_head_index activation_fn_str activation_fn_kwargs"
    " apply_b_dec_to_input normalize_activations finetuning_scaling_factor model_from_pretrained_kwargs"
    " hf_hook_name reshape_activations"
)
_HARMLESS: Final = words(  # names, types and places, and the settings of training runs
    "act_store_device adam_beta1 adam_beta2 autocast autocast_lm b_dec_init_method cached_activations_path"
    " checkpoint_path compile_llm compile_sae context_size dataset_path dataset_trust_remote_code"
    " dead_feature_threshold dead_feature_window decoder_heuristic_init decoder_heuristic_init_norm"
    " decoder_orthogonal_init device dtype eval_batch_size_prompts eval_every_n_wandb_logs"
    " exclude_special_tokens expansion_factor feature_sampling_window finetuning_method finetuning_tokens"
    " from_pretrained_path hook_eval init_encoder_as_decoder_transpose is_dataset_tokenized"
    " jumprelu_bandwidth jumprelu_init_threshold l1_coefficient l1_warm_up_steps llm_compilation_mode"
    " log_activations_store_to_wandb log_optimizer_state_to_wandb log_to_wandb lp_norm lr lr_decay_steps"
    " lr_end lr_scheduler_name lr_warm_up_steps model_class_name model_kwargs model_name"
    " mse_loss_normalization n_batches_in_buffer n_checkpoints n_eval_batches n_restart_cycles neuronpedia"
    " neuronpedia_id noise_scale normalize_sae_decoder prepend_bos resume run_name sae_compilation_mode"
    " sae_lens_training_version sae_lens_version scale_sparsity_penalty_by_decoder_norm seed seqpos_slice"
    " store_batch_size_prompts streaming tokens_per_buffer train_batch_size train_batch_size_tokens"
    " training_tokens total_training_tokens use_cached_activations use_ghost_grads verbose wandb_entity"
    " wandb_id wandb_log_frequency wandb_project log_final_model_to_wandb d_head"
)


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by the keys of its settings."""
    found = settings_file(path)
    return (
        found is not None
        and "metadata" not in found[1]
        and bool({"hook_name", "hook_point"} & found[1].keys())
    )


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the SAE of a directory.

    Raises:
        InvalidFile: unknown settings, or tensors that cannot be trusted.
        Incompatible: a hook where features cannot be placed.
        UsageError: a hint that the settings answer.
    """
    return read_coder(_coder(path, hints), model, str(path))


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`.
    """
    return describe_coder(_coder(path, hints), NAME)


def _coder(path: Path, hints: Hints) -> SaeLensCoder:
    found = settings_file(path)
    if found is None:
        raise InvalidFile(f"{path} has no settings with d_in and d_sae.")
    file = found[0]
    config = {_RENAMED.get(key, key): value for key, value in found[1].items()}
    refuse_unknown(file, config, _HANDLED | _HARMLESS)
    if config.get("reshape_activations", "none") != "none":
        raise Incompatible(
            f"{file} reshapes by {config['reshape_activations']!r}: attention outputs are not supported."
        )
    normalize = config.get("normalize_activations")
    if normalize in (None, False, True):
        normalize = "expected_average_only_in" if normalize else "none"
    architecture, k = _activation(file, config)
    architecture, normalize = check_choices(file, architecture, normalize)
    apply_b_dec, finetuned = (
        config.get("apply_b_dec_to_input", True),
        config.get("finetuning_scaling_factor", False),
    )
    if type(apply_b_dec) is not bool or type(finetuned) is not bool:
        raise InvalidFile(
            f"{file} gives apply_b_dec_to_input {apply_b_dec!r} and finetuning_scaling_factor {finetuned!r}:"
            " true or false are known."
        )
    place = place_of(file, config, architecture, hints)
    centred, folded = check_loading(file, config.get("model_from_pretrained_kwargs"))
    return SaeLensCoder(
        weights=weights_file(path),
        architecture=architecture,
        place=place,
        sizes=sizes(file, config),
        normalize=normalize,
        apply_b_dec=apply_b_dec,
        k=k,
        finetuned=finetuned,
        centred=centred,
        folded=folded,
    )


def _activation(file: Path, config: Mapping[str, Any]) -> tuple[object, int | None]:
    """Gives the architecture, topk where the activation says so, and k."""
    architecture = config.get("architecture", "standard")
    name = config.get("activation_fn_str", "relu")
    options = config.get("activation_fn_kwargs") or {}
    if name == "relu" and architecture != "topk" and not options:
        return architecture, None
    if name == "topk" and architecture in ("standard", "topk") and options.keys() == {"k"}:
        return "topk", top_k(file, "topk", options["k"])
    raise InvalidFile(
        f"{file} has the architecture {architecture!r} with the activation {name!r} and {options!r}: known"
        " are relu without options, and topk with k."
    )
