"""One peer's top-k trainer: speed on random tokens, and what it has learned after some CPU seconds.

Runs in the environment of a peer, with its own training step, defaults and learning rate; warm-ups of many
steps are left out, since few are taken. Called by `dictionary_scaling.py`::

    PEER/bin/python analysis/dictionary_scaling_peers.py sae_lens REQUEST.json

Prints one JSON document: tokens per core-second, FVU on held-out tokens, tokens seen.
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Step = Callable[[Tensor], None]
Peer = tuple[Step, Callable[[Tensor], Tensor], str]
"""A training step, the reconstruction, and the name of the distribution."""


def main() -> None:
    torch.set_num_threads(1)
    name, request = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    torch.manual_seed(0)
    width, features, k, batch = (request[key] for key in ("width", "features", "k", "batch"))
    step, _, distribution = PEERS[name](width, features, k)
    x = torch.randn(batch, width)
    step(x)
    taken = [_seconds(step, x) for _ in range(request["repeats"])]
    del step
    data, held = (torch.from_numpy(np.load(request[key])) for key in ("train", "held_out"))
    learned, seen = learn(PEERS[name](data.shape[1], request["learn_features"], k), data, request)
    with torch.no_grad():
        rest = sum(float((learned(x) - x).square().sum()) for x in torch.split(held, 1024))
    found = {
        "name": name.replace("_", "-"),
        "version": importlib.metadata.version(distribution),
        "torch": torch.__version__,
        "tokens_per_core_second": batch / statistics.median(taken),
        "fvu": rest / float((held - held.mean(0)).square().sum()),
        "tokens": seen,
    }
    print(json.dumps(found))


def learn(peer: Peer, data: Tensor, request: dict[str, Any]) -> tuple[Callable[[Tensor], Tensor], int]:
    """Gives what the peer reconstructs after training for the CPU seconds asked for, and the tokens seen."""
    step, reconstruct, _ = peer
    began, at, seen = time.process_time(), 0, 0
    while time.process_time() - began < request["seconds"]:
        if at + request["batch"] > len(data):
            at = 0
        step(data[at : at + request["batch"]])
        at, seen = at + request["batch"], seen + request["batch"]
    return reconstruct, seen


def _seconds(step: Step, x: Tensor) -> float:
    began = time.process_time()
    step(x)
    return time.process_time() - began


def sae_lens(width: int, features: int, k: int) -> Peer:
    from sae_lens.config import SAETrainerConfig  # type: ignore[import-not-found]
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig  # type: ignore[import-not-found]
    from sae_lens.training.sae_trainer import SAETrainer  # type: ignore[import-not-found]

    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=width, d_sae=features, k=k, device="cpu"))
    config = SAETrainerConfig(total_training_samples=10**9, train_batch_size_samples=4096, lr_end=3e-4)
    trainer = SAETrainer(config, sae, iter(()))

    def step(x: Tensor) -> None:
        trainer._train_step(sae, x)
        trainer.n_training_steps += 1

    return step, sae, "sae-lens"


def dictionary_learning(width: int, features: int, k: int) -> Peer:
    from dictionary_learning.trainers.top_k import TopKTrainer  # type: ignore[import-not-found]

    trainer = TopKTrainer(
        steps=10**6, activation_dim=width, dict_size=features, k=k, layer=0, lm_name="", warmup_steps=1,
        device="cpu",
    )  # fmt: skip
    count = iter(range(10**6))
    return lambda x: trainer.update(next(count), x) and None, trainer.ae, "dictionary-learning"


def sparsify(width: int, features: int, k: int) -> Peer:
    from sparsify import SparseCoder, SparseCoderConfig  # type: ignore[import-not-found]
    from sparsify.sign_sgd import SignSGD  # type: ignore[import-not-found]

    sae = SparseCoder(width, SparseCoderConfig(num_latents=features, k=k))
    optimiser = SignSGD(sae.parameters(), lr=5e-3 / (features / 2**14) ** 0.5)

    def step(x: Tensor) -> None:
        sae(x).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        sae.set_decoder_norm_to_unit_norm()

    return step, lambda x: sae(x).sae_out, "eai-sparsify"


PEERS = {"sae_lens": sae_lens, "dictionary_learning": dictionary_learning, "sparsify": sparsify}

if __name__ == "__main__":
    main()
