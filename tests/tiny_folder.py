"""A tiny model as a Hugging Face directory, for commands."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_models import ARCHITECTURES, VOCABULARY
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def tiny_folder(folder: Path, architecture: str = "llama", *, times: float = 1.0, **options) -> Path:
    """Writes a random model of three layers whose words are w0, w1, …

    Args:
        folder: where.
        architecture: of `ARCHITECTURES`.
        times: what the MLPs' output matrices are multiplied with.
        options: of its configuration.
    """
    module = ARCHITECTURES[architecture](**options)
    with torch.no_grad():
        for layer in module.model.layers:
            layer.mlp.down_proj.weight *= times
    module.save_pretrained(folder)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)
    return folder
