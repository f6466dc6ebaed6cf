"""What makes two models the same: their settings and weights, whatever file they came from."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import nn

from circuits.errors import InvalidFile
from circuits.models.config_check import computing_settings


def fingerprint(module: nn.Module) -> str:
    """Gives a hash over the settings that change a number, and all weights rounded to float32.

    The same for a GGUF file and its cached conversion, and for a float32 and a float64 load of one
    checkpoint.
    """
    settings = json.dumps(computing_settings(module.config), sort_keys=True, default=str)
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for name, parameter in sorted(module.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        array = parameter.detach().to("cpu", torch.float32).contiguous().numpy()
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()


def check_weights(module: nn.Module, name: str) -> None:
    """Gives nothing for weights that are all finite.

    Raises:
        InvalidFile: a weight is NaN or infinite; the first such parameter is named.
    """
    for parameter_name, parameter in module.named_parameters():
        # A finite sum rules out NaN and infinity without a temporary the size of the weights.
        values = parameter.detach()
        if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
            count = int((~torch.isfinite(values)).sum())
            raise InvalidFile(
                f"{name} holds {count} NaN or infinite weights in {parameter_name}: fetch or convert it anew."
            )
