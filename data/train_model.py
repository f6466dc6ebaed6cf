"""Trains the bundled language model on the corpus that `build_corpus.py` made.

    python data/train_model.py WORK                     # one and a half hours on two idle cores; resumes
    python data/train_model.py WORK --export data/toy/model

One process a core, each with one thread, averaging gradients over gloo: on a model this small that is
faster than two threads in one process. A checkpoint is written every three minutes and on Ctrl-C; a run
started again goes on from it, step for step as if it had not stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from domains import DOMAINS
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SHAPE: Final[dict[str, Any]] = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": True,
}
SECONDS_BETWEEN_CHECKPOINTS: Final = 180


@dataclass(frozen=True)
class Settings:
    """What decides the result.

    Attributes:
        tokens: seen in all.
        length: of a sequence.
        batch: sequences a step, over all processes.
        rate: the largest learning rate; it falls to a twentieth.
        warmup: steps in which it rises.
        seed: of weights and of the order of data.
    """

    tokens: int = 20_000_000
    length: int = 128
    batch: int = 48
    rate: float = 3e-3
    warmup: int = 200
    seed: int = 0

    @property
    def steps(self) -> int:
        """Gives the number of steps."""
        return self.tokens // (self.length * self.batch)


def main() -> None:
    """Trains, resumes, or exports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--tokens", type=int, default=Settings.tokens)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--export", type=Path, help="write the trained model there and stop")
    options = parser.parse_args()
    if options.export:
        export(options.work, options.export)
        return
    settings = Settings(tokens=options.tokens)
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    mp.spawn(train, args=(options.processes, options.work, settings), nprocs=options.processes)


def make_model(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """Gives a model with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, **SHAPE)
    config._attn_implementation = "sdpa"  # no public way before the first call
    return LlamaForCausalLM(config)


class Mix:
    """Sequences drawn from the domains by their shares, the same for the same step and process."""

    def __init__(self, file: Path, settings: Settings) -> None:
        arrays = np.load(file)
        shares = {name: share for name, (_, share) in DOMAINS.items()}
        shares["geography"] = 1 - sum(shares.values())
        self.names = sorted(shares)
        self.shares = np.array([shares[name] for name in self.names])
        self.arrays = [arrays[name] for name in self.names]
        # geography is read from the beginnings of documents, where prompts begin as well
        self.starts = [np.flatnonzero(a == 0) if n == "geography" else None
                       for n, a in zip(self.names, self.arrays, strict=True)]  # fmt: skip
        self.settings = settings

    def batch(self, step: int, part: int, parts: int) -> Tensor:
        """Gives one process's share of a step's sequences."""
        settings = self.settings
        dice = np.random.default_rng((settings.seed, step, part))
        rows = []
        for domain in dice.choice(len(self.names), settings.batch // parts, p=self.shares):
            ids, starts = self.arrays[domain], self.starts[domain]
            last = len(ids) - settings.length - 1
            at = int(dice.integers(last)) if starts is None else int(min(dice.choice(starts), last))
            rows.append(ids[at : at + settings.length].astype(np.int64))
        return torch.from_numpy(np.stack(rows))


def train(rank: int, processes: int, work: Path, settings: Settings) -> None:
    """Trains until the tokens are used up, from the last checkpoint if there is one."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    stop = [False]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.__setitem__(0, True))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    model = make_model(len(tokenizer), settings.seed)
    optimiser = make_optimiser(model, settings)
    mix = Mix(work / "train.npz", settings)
    done = restore(work, model, optimiser, settings)
    began, first, saved = time.time(), done, time.time()
    losses: list[float] = []
    while done < settings.steps:
        for group in optimiser.param_groups:
            group["lr"] = rate(done, settings)
        losses.append(step(model, optimiser, mix.batch(done, rank, processes), processes))
        done += 1
        halt = torch.tensor([float(stop[0]), float(time.time() - saved > SECONDS_BETWEEN_CHECKPOINTS)])
        dist.all_reduce(halt, dist.ReduceOp.MAX)
        if halt.any() or done == settings.steps:
            saved = time.time()
            if rank == 0:
                checkpoint(work, model, optimiser, done, settings)
                seen = (done - first) * settings.batch * settings.length
                report(work, model, done, settings, sum(losses) / len(losses), seen / (time.time() - began))
            losses = []
            dist.barrier()
        if halt[0]:
            break
    dist.destroy_process_group()


def make_optimiser(model: torch.nn.Module, settings: Settings) -> torch.optim.AdamW:
    """Gives AdamW, with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98), fused=True)


def rate(done: int, settings: Settings) -> float:
    """Gives the learning rate of a step: a linear rise, then a linear fall to a twentieth."""
    rise = min(1.0, (done + 1) / settings.warmup)
    return settings.rate * rise * (1 - 0.95 * done / settings.steps)


def step(model: torch.nn.Module, optimiser: torch.optim.Optimizer, ids: Tensor, processes: int) -> float:
    """Takes one step and gives this process's loss in nats a token."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids).logits
    loss = cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]).float(), ids[:, 1:].reshape(-1))
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= processes
    for g, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        g.copy_(part.view_as(g))
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


def checkpoint(
    work: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, done: int, settings: Settings
) -> None:
    """Writes weights and optimiser as one file, whole or not at all."""
    tensors = {f"model.{k}": v.contiguous().clone() for k, v in model.named_parameters()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{k}": torch.as_tensor(v).clone() for k, v in state.items()}
    temporary = work / "checkpoint.part"
    save_file(tensors, temporary, metadata={"done": str(done), "settings": json.dumps(vars(settings))})
    temporary.replace(work / "checkpoint.safetensors")


def restore(work: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, settings: Settings) -> int:
    """Gives the number of steps done, weights and optimiser set to where they were; 0 to begin."""
    file = work / "checkpoint.safetensors"
    if not file.exists():
        return 0
    done, of = read_header(file)
    if of != vars(settings):
        sys.exit(f"{file} is of a run with {of}: move it away to begin another with {vars(settings)}.")
    tensors = load_file(file)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return done


def read_header(file: Path) -> tuple[int, dict[str, Any]]:
    """Gives the steps done and the settings of a checkpoint."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as content:
        header = content.metadata()
    return int(header["done"]), json.loads(header["settings"])


@torch.no_grad()
def report(
    work: Path, model: torch.nn.Module, done: int, settings: Settings, loss: float, speed: float
) -> None:
    """Prints how far training is, and the loss on held-out text of every domain."""
    arrays = np.load(work / "held_out.npz")
    model.eval()
    parts = []
    for name in sorted(arrays):
        ids = torch.from_numpy(arrays[name][: 16 * settings.length].astype(np.int64)).view(16, -1)
        logits = model(ids).logits
        held_out = cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        parts.append(f"{name} {held_out:.2f}")
    model.train()
    tokens = done * settings.batch * settings.length
    line = f"step {done}/{settings.steps} {tokens / 1e6:.2f} M tokens loss {loss:.3f} {speed:.0f} tokens/s"
    print(line, "|", ", ".join(parts), flush=True)


def export(work: Path, place: Path) -> None:
    """Writes the trained model in Hugging Face format, weights as float16."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    done, of = read_header(work / "checkpoint.safetensors")
    model = make_model(len(tokenizer), of["seed"])
    restore(work, model, make_optimiser(model, Settings(**of)), Settings(**of))
    print(f"{done} of {Settings(**of).steps} steps")
    model.half().save_pretrained(place)
    tokenizer.save_pretrained(place)
    (place / "training.json").write_text(json.dumps({**of, "steps_done": done}, indent=1) + "\n")


if __name__ == "__main__":
    main()
