"""Reading Hugging Face directories, hub repositories and GGUF files: quietly, and never by unpickling."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

from circuits.errors import InvalidFile, NotFound, UnsupportedModel
from circuits.models.base import Tokens

log = logging.getLogger("circuits")

_GGUF_MAGIC = b"GGUF"


def read_directory(path: Path, dtype: torch.dtype) -> tuple[Any, Tokens]:
    """Gives the module and tokenizer of a directory that `model_type` has been read from.

    Raises:
        NotFound: no weights, or no tokenizer.
        InvalidFile: the weights are pickled, truncated, incomplete, or of other shapes than the
            configuration says.
    """
    if not any(path.glob("*.safetensors")):
        pickled = [p.name for end in ("bin", "pt", "pth", "ckpt") for p in sorted(path.glob(f"*.{end}"))]
        if pickled:
            raise InvalidFile(
                f"{path} holds its weights as a pickle only ({pickled[0]}), which could run any code when"
                " read: convert it with save_pretrained, which writes safetensors."
            )
        raise NotFound(f"{path} holds no weights: *.safetensors is expected beside config.json.")
    return _read(str(path), dtype)


def read_hub(name: str, dtype: torch.dtype) -> tuple[Any, Tokens]:
    """Gives the module and tokenizer of a hub repository.

    Raises:
        NotFound: the weights or the tokenizer cannot be fetched.
        InvalidFile: see `read_directory`.
    """
    log.info("Fetching %s from the hub (kept in the hub's own cache)", name)
    return _read(name, dtype)


def read_gguf(path: Path) -> tuple[Any, Tokens]:
    """Gives the module and tokenizer of a GGUF file, dequantised to float32.

    Raises:
        UnsupportedModel: an architecture that transformers cannot read from GGUF.
        InvalidFile: not a GGUF file, or a truncated one.
    """
    with path.open("rb") as file:
        if file.read(4) != _GGUF_MAGIC:
            raise InvalidFile(f"{path} is no GGUF file: it does not begin with 'GGUF'.")
    try:
        module, tokenizer = _read(str(path.parent), torch.float32, gguf_file=path.name)
    except ValueError as cause:
        if "not supported" in str(cause):
            raise UnsupportedModel(f"{path} cannot be read: {_reason(cause)}") from cause
        raise InvalidFile(f"{path} is damaged or truncated ({_reason(cause)}): fetch it anew.") from cause
    except (OSError, LookupError, RuntimeError, TypeError, OverflowError, struct.error) as cause:
        raise InvalidFile(f"{path} is damaged or truncated ({_reason(cause)}): fetch it anew.") from cause
    # The weights are plain float32 now; the module still believes they are quantised.
    del module.config.quantization_config
    module.hf_quantizer = None
    return module, tokenizer


def model_type(source: str) -> str:
    """Gives the model type that a directory's or hub repository's configuration names.

    Raises:
        NotFound: no configuration, or the hub cannot be reached.
        InvalidFile: the configuration is no JSON object with a `model_type`.
    """
    local = Path(source).is_dir()
    if local and not (Path(source) / "config.json").is_file():
        raise NotFound(f"{source} is no model directory: it has no config.json.")
    if not local:
        _check_reachable(source)
    try:
        with quiet():
            settings, _ = PreTrainedConfig.get_config_dict(source)
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError) as cause:
        raise InvalidFile(f"The configuration of {source} cannot be read: {_reason(cause)}") from cause
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if not isinstance(kind, str):
        raise InvalidFile(f"The configuration of {source} names no model_type: it is not a model's.")
    return kind


def _check_reachable(name: str) -> None:
    # transformers would retry an absent connection for half a minute; one question is enough.
    try:
        if not isinstance(try_to_load_from_cache(name, "config.json"), str):
            HfApi().model_info(name, timeout=10)
    except Exception as cause:  # of the hub's client, or of whichever HTTP library it uses
        raise NotFound(
            f"{name!r} is not a directory, not a file, and not reachable on the hub ({_reason(cause)})."
            " Check the spelling and the connection, or use 'smollm2', which needs none."
        ) from cause


def _read(source: str, dtype: torch.dtype, **options: Any) -> tuple[Any, Tokens]:
    try:
        with quiet():
            module, report = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                trust_remote_code=False,
                attn_implementation="eager",
                **options,
            )
    except SafetensorError as cause:
        raise InvalidFile(
            f"The weights of {source} are damaged or truncated ({_reason(cause)}): fetch them anew."
        ) from cause
    except (OSError, ValueError, RuntimeError, StrictDataclassError) as cause:
        if options:  # the caller knows more of the file
            raise
        raise InvalidFile(f"The model {source} cannot be read: {_reason(cause)}") from cause
    _check_complete(source, report)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as cause:  # the tokenizers library raises this very class
        raise NotFound(f"The tokenizer of {source} cannot be read: {_reason(cause)}") from cause
    return module, tokenizer


def _check_complete(source: str, report: dict[str, Any]) -> None:
    # Missing weights would be left random: the model would run, and be wrong.
    missing = sorted(report["missing_keys"])
    if missing:
        raise InvalidFile(
            f"The weights of {source} lack {len(missing)} of the model's parameters, such as {missing[0]}:"
            " fetch the whole model."
        )
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        name, found, expected = mismatched[0]
        raise InvalidFile(
            f"The weights of {source} do not fit its configuration in {len(mismatched)} places: {name} is"
            f" {tuple(found)} instead of {tuple(expected)}."
        )
    unexpected = sorted(report["unexpected_keys"])
    if unexpected:
        log.warning(
            "%s has %d weights its architecture does not use, such as %s",
            source,
            len(unexpected),
            unexpected[0],
        )


def _reason(cause: BaseException) -> str:
    """Gives the beginning of an error's message on one line, or the error's name."""
    words = " ".join(str(cause).split())
    return words[:200].rstrip(".: ") or type(cause).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what transformers logs, warns and draws: our own sentences say what went wrong."""
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
