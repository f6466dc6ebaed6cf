"""Refuses configurations we would read wrongly: every setting is handled, knowingly ignored, or default.

The manner is penzai's: a wrong model that runs is the worst outcome in interpretability, so a
setting nobody thought about is a reason to stop, and all offenders are listed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from circuits.errors import UnsupportedModel


def settings(names: str) -> frozenset[str]:
    """Gives a set of settings from their names, separated by spaces."""
    return frozenset(names.split())


BOOKKEEPING = settings(
    # where the file came from and how it is stored
    "transformers_version architectures dtype torch_dtype quantization_config name_or_path"
    " transformers.js_config tokenizer_class task_specific_params finetuning_task"
    # tokens and generation
    " pad_token_id bos_token_id eos_token_id unk_token_id sep_token_id mask_token_id decoder_start_token_id"
    " use_cache cache_implementation prefix"
    # what the module hands back; asked for explicitly at every call
    " output_hidden_states output_attentions return_dict"
    # other heads than the language model's
    " id2label label2id num_labels problem_type classifier_dropout summary_type summary_use_proj"
    " summary_activation summary_proj_to_labels summary_first_dropout"
    # training, and evaluation in slices; dropout is off in evaluation mode
    " initializer_range gradient_checkpointing chunk_size_feed_forward pretraining_tp is_decoder"
    " attention_dropout hidden_dropout resid_pdrop embd_pdrop attn_pdrop"
)
"""Settings that change no number of the forward pass in evaluation mode, whatever the architecture."""


@dataclass(frozen=True)
class Policy:
    """What one architecture file knows of its configuration class.

    Attributes:
        handled: settings the adapter takes into account, whatever their value.
        patterns: settings that only shape the attention patterns; not read here, as the patterns, and
            the scales and frequencies behind them, are taken from the module itself.
        only: settings that are right for these values alone; each element counts where it is a list.
    """

    handled: frozenset[str]
    patterns: frozenset[str] = frozenset()
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def check_config(config: Any, policy: Policy) -> None:
    """Gives nothing for a configuration that will be read rightly.

    Args:
        config: a Hugging Face configuration.
        policy: what the architecture's adapter knows.

    Raises:
        UnsupportedModel: settings that are neither handled, nor knowingly ignored, nor at the
            default of their class; all of them are listed with their values.
    """
    defaults = vars(type(config)())
    offenders = [
        f"{key} = {value!r}" + _supported(policy.only.get(key))
        for key, value in sorted(vars(config).items())
        if not _known(key, value, policy, defaults)
    ]
    if offenders:
        raise UnsupportedModel(
            f"This {config.model_type} model has settings that would be reconstructed wrongly or were"
            f" never looked at: {', '.join(offenders)}. Use a model without them, or teach the adapter"
            " in circuits/models about them."
        )


def computing_settings(config: Any) -> dict[str, Any]:
    """Gives the settings that can change a number of the forward pass, by name, for fingerprints."""
    found = {
        key: value
        for key, value in vars(config).items()
        if key not in BOOKKEEPING and not key.startswith("_")
    }
    # Read from a file it is among them, made in memory it is not.
    return {**found, "model_type": config.model_type}


def _known(key: str, value: Any, policy: Policy, defaults: Mapping[str, Any]) -> bool:
    if key in policy.only:
        values = value if isinstance(value, list | tuple) else [value]
        return all(v in policy.only[key] for v in values)
    if key == "_heterogeneity_spec":  # other settings for some of the layers
        return False
    # Names with an underscore are transformers' own caches.
    if key in policy.handled | policy.patterns | BOOKKEEPING | {"model_type"} or key.startswith("_"):
        return True
    return key in defaults and bool(value == defaults[key])


def _supported(values: Iterable[Any] | None) -> str:
    return f" (supported: {', '.join(map(str, values))})" if values else ""
