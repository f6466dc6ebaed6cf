"""The units that compete, as activations at every scored token: features, neurons, random directions.

All see the same tokens, and none sees deeper than the stream after block 1, where the dictionaries sit.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from features_vs_neurons_basis import Basis  # type: ignore[import-not-found]
from features_vs_neurons_concepts import Labelled, Tokens  # type: ignore[import-not-found]
from features_vs_neurons_texts import LENGTH, Passage  # type: ignore[import-not-found]
from jaxtyping import Float
from scipy.sparse import csr_matrix, vstack
from torch import Tensor
from transformers import AutoModelForCausalLM

from circuits.dictionaries.activations import TopK
from circuits.dictionaries.base import AbstractDictionary
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.rows import DenseRows
from circuits.models.base import Model
from circuits.models.load import model_from_module
from circuits.models.sites import Place, Site, capture
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Trainer

LAYER: Final = 1
STREAM: Final[Place] = (LAYER, "block_out")
K: Final = 16
_AT_ONCE: Final = 64  # passages
_ENCODED: Final = 1024  # tokens


def streams(
    model: Model, passages: Sequence[Passage], tokens: Tokens, places: Sequence[Place]
) -> dict[Place, Float[Tensor, "t d"]]:
    """Gives what passes at some places at every scored token."""
    ids = torch.zeros(len(passages), LENGTH, dtype=torch.long)  # what follows a passage is never seen in it
    for row, passage in enumerate(passages):
        ids[row, : len(passage.ids)] = torch.tensor(passage.ids)
    parts: dict[Place, list[Tensor]] = {place: [] for place in places}
    row = 0
    for batch in torch.split(ids, _AT_ONCE):
        inside = (tokens.passage >= row) & (tokens.passage < row + len(batch))
        where = (torch.from_numpy(tokens.passage[inside] - row), torch.from_numpy(tokens.position[inside]))
        for place, values in capture(model, batch, places).items():
            parts[place].append(values[where])
        row += len(batch)
    return {place: torch.cat(found) for place, found in parts.items()}


def features(name: str, dictionary: AbstractDictionary, x: Float[Tensor, "t d"]) -> Basis:
    """Gives a dictionary's features at the tokens whose stream is x."""
    layer = dictionary.layers[0]
    parts = [
        csr_matrix(dictionary.encode(layer, part).activation.numpy()) for part in torch.split(x, _ENCODED)
    ]
    return Basis(name, csr_matrix(vstack(parts)))


def neurons(model: Model, inputs: dict[Place, Float[Tensor, "t d"]]) -> Basis:
    """Gives the neurons of the MLPs up to the dictionaries' layer, each with both signs.

    Unit i is neuron i mod 512 of layer i // 512; from 1,024 on, the same negated.
    """
    trivial = Neurons(model)
    found = [trivial.encode(layer, x).activation.half().numpy() for (layer, _), x in sorted(inputs.items())]
    return Basis("neurons", np.concatenate(found, axis=1), signed=True)


def neuron_inputs() -> list[Place]:
    """Gives the places that the neurons read."""
    site: Site = "mlp_in"
    return [(layer, site) for layer in range(LAYER + 1)]


def random_directions(x: Float[Tensor, "t d"], count: int, seed: int) -> Coders:
    """Gives random directions as sparse as the dictionaries: of `count`, the 16 that x points to most.

    Each coordinate of the stream is centred and scaled by its spread before.
    """
    mean, spread = x.mean(0), x.std(0)
    dice = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, x.shape[1], generator=dice)
    rows = rows / rows.norm(dim=1, keepdim=True) / spread
    coder = CoderLayer(
        layer=LAYER,
        encoder=DenseRows(rows),
        encoder_bias=-rows @ mean,
        decoders=((LAYER, DenseRows(rows)),),
        decoder_bias=mean,
        activation=TopK(K, relu=True),
    )
    return Coders([coder], CoderSettings("sae", STREAM[1], "block_out", spec="random directions"))


def untrained(model: Model, seed: int) -> Model:
    """Gives a model of the same architecture and tokenizer with weights as before training."""
    module: Any = model.module
    torch.manual_seed(seed)
    fresh = AutoModelForCausalLM.from_config(copy.deepcopy(module.config)).float()
    return model_from_module(fresh, model.tokenizer, spec="untrained", name="untrained")


def train(model: Model, sequences: Sequences, size: tuple[int, int], place: Path | None) -> Coders:
    """Gives an SAE of the stream, trained as those it is compared with.

    Args:
        model: whose stream.
        sequences: the tokens.
        size: features, and tokens to see.
        place: where its checkpoints stand.
    """
    settings = Training(
        kind="sae", layers=(LAYER,), site="block_out", features=size[0], k=K, tokens=size[1], batch=2048
    )
    trainer = Trainer(model, sequences, settings, place)
    trainer.train()
    return trainer.dictionary()


def probe(x: Float[Tensor, "t d"], labelled: Labelled) -> Float[np.ndarray, "d"]:
    """Gives the mean-difference direction: weighted mean on the concept minus that off it."""
    values = x[torch.from_numpy(labelled.rows)].numpy()
    sign = np.where(labelled.positive, 1.0, -1.0) * labelled.weight
    found: np.ndarray = (values * sign[:, None]).sum(0).astype(np.float32)
    return found
