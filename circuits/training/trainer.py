"""The loop: batches in, steps, progress, checkpoints, and a dictionary out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, TopK
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.rows import DenseRows
from circuits.errors import CircuitsError, UsageError
from circuits.models.base import Model
from circuits.training.activations import Activations, Batch, Stored
from circuits.training.checkpoint import Checkpoint
from circuits.training.coder import Scaling, Told, Weights, initial, project, renormalise, step
from circuits.training.growth import grow
from circuits.training.jumprelu import jump_step
from circuits.training.manifest import fingerprint_of
from circuits.training.parallel import ALONE, SHARED_OUT, Ranks, check_ranks
from circuits.training.routed import fit_router, folded_router
from circuits.training.settings import Training
from circuits.training.signals import uninterrupted
from circuits.training.tokens import Sequences


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: steps done.
        steps: steps in all.
        told: of each layer, the last step's numbers.
        tokens_per_second: since the run was started or resumed.
    """

    step: int
    steps: int
    told: tuple[Told, ...]
    tokens_per_second: float


Listener = Callable[[Progress], None]


class Trainer:
    """One run of training, which may be stopped at any step and resumed to the same end.

    Resuming sets torch's number of threads to what it was: sums over threads differ in their last bit.

    Args:
        model: whose activations to learn from.
        sequences: the tokens.
        settings: what decides the result.
        directory: where checkpoints stand; None keeps none.
        stored: the sequences' activations on disk, or None to run the model for them.
        ranks: the processes that share the features, if there are several (`circuits.training.parallel`).
            Such a run is resumed by as many.

    Raises:
        UsageError: layers the model does not have, a CLT of some layers only, or what cannot be shared by
            these ranks.
        Incompatible, InvalidFile: the checkpoint there is of another run, or broken; less than one batch.
    """

    def __init__(
        self,
        model: Model,
        sequences: Sequences,
        settings: Training,
        directory: Path | None = None,
        stored: Stored | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        check(model, settings)
        check_ranks(settings, ranks)
        self.ranks = ranks
        self._gathered: tuple[int, Coders] | None = None
        self.model = model
        self.settings = settings
        self._directory = directory
        places = settings.places
        self._source = Activations(model, sequences, places, settings.batch, settings.seed, stored)
        self._run: dict[str, Any] = {
            "settings": settings.as_json(),
            "model": model.fingerprint,
            "tokens": fingerprint_of(sequences),
        }
        if stored is not None:  # its numbers may differ in their last bit, or by half precision
            self._run["buffer"] = stored.kept
        self._run |= {} if ranks.alone else {"ranks": ranks.world}
        found = None if directory is None else Checkpoint.load(directory, self._run)
        self.done = 0 if found is None else found.step
        ranks.check_same(self.done, directory)
        if found is not None:
            torch.set_num_threads(found.threads)
        self._scalings = self._scale(self._source.at(0)) if found is None else _scalings(found)
        last = settings.layers[-1] + 1
        self.coders = tuple(
            ranks.shared(
                initial(
                    settings, layer, model.width, last - layer if settings.kind == "clt" else 1, self.done
                )
            )
            for layer in settings.layers
        )
        self._optimiser = torch.optim.Adam(self._parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
        if found is None:
            self._begin(self._source.at(0))
        else:
            self._restore(found)

    def train(
        self, listen: Listener | None = None, *, every: float = 120.0, steps: int | None = None
    ) -> None:
        """Takes all remaining steps, or `steps` of them.

        Args:
            listen: told after every step.
            every: seconds between checkpoints; one is also left when the run ends or is interrupted.
            steps: at most this many.

        Raises:
            CircuitsError: the loss is no number any more.
        """
        first, began, saved = self.done, time.monotonic(), time.monotonic()
        until = self.settings.steps if steps is None else min(self.settings.steps, self.done + steps)
        if not self.done:
            self.save()  # what is refused about the place is refused now
        whole = True
        try:
            while self.done < until:
                batch, whole = self._source.at(self.done), False
                with uninterrupted():  # half a step would be repeated on resuming
                    told = self._step(batch)
                    self.done, whole = self.done + 1, True
                    self._grow()
                now = time.monotonic()
                speed = (self.done - first) * self.settings.batch / max(now - began, 1e-9)
                if listen is not None:
                    listen(Progress(self.done, self.settings.steps, tuple(told), speed))
                if self.ranks.agreed(now - saved > every):
                    self.save()
                    saved = time.monotonic()
        except BaseException:
            if whole and self.ranks.alone:  # others may stand elsewhere
                self.save()
            raise
        self.save()

    def save(self) -> None:
        """Writes a checkpoint, if the run keeps any."""
        if self._directory is None:
            return
        tensors = self.ranks.gathered_all(*self._tensors())
        for (layer, site), scaling in self._scalings.items():
            tensors[f"mean.{layer}.{site}"] = scaling.mean
            tensors[f"scale.{layer}.{site}"] = torch.tensor([scaling.scale], dtype=torch.float64)
        if self.ranks.first:
            Checkpoint(self.done, self._run, tensors, torch.get_num_threads()).save(self._directory)
        self.ranks.agreed(True)  # none goes on before it is written

    def dictionary(self) -> Coders:
        """Gives the dictionary as it stands, scalings folded into its weights.

        With several ranks all must ask, and the first gets it; the others get their own part.
        """
        if self._gathered is not None and self._gathered[0] == self.done:
            return self._gathered[1]
        settings = self.settings
        kind = CoderSettings(
            kind=settings.kind,
            read_site=settings.read_site,
            write_site=settings.write_site,
            fingerprint="",
            spec="the trained dictionary",
        )
        made = Coders([self._folded(self.ranks.whole(w)) for w in self.coders], kind)
        if not self.ranks.alone:
            self._gathered = (self.done, made)  # the first may ask again, alone
        return made

    def _tensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Gives weights and the optimiser's state by key, and which parameter each is or belongs to."""
        tensors: dict[str, Tensor] = {}
        names: dict[str, str] = {}
        for w in self.coders:
            own = {**w.parameters(), **w.buffers()}
            tensors |= {f"{w.layer}.{name}": tensor for name, tensor in own.items()}
            names |= {f"{w.layer}.{name}": name for name in own}
        parameters = [name for w in self.coders for name in w.parameters()]
        for number, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
            names |= {f"optimiser.{number}.{name}": parameters[number] for name in state}
        return tensors, names

    def _parameters(self) -> list[Tensor]:
        return [p for w in self.coders for p in w.parameters().values()]

    def _scale(self, batch: Batch) -> dict[tuple[int, str], Scaling]:
        return {place: Scaling.of(values) for place, values in batch.items()}

    def _inputs(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Gives what each layer reads and is to give, normalised."""
        scaled = {place: self._scalings[place].apply(values) for place, values in batch.items()}
        read, write = self.settings.read_site, self.settings.write_site
        return (
            [scaled[layer, read] for layer in self.settings.layers],
            [scaled[layer, write] for layer in self.settings.layers],
        )

    def _begin(self, batch: Batch) -> None:
        """Begins a transcoder's encoder and decoder where linear regression would: no feature starts dead.

        Routers are found over the first tokens, of up to sixteen batches.
        """
        if self.settings.routed is not None:
            some = range(min(16, self._source.batches_per_buffer))
            seen = [self._inputs(self._source.at(number))[0] for number in some]
            for w, *parts in zip(self.coders, *seen, strict=True):
                fit_router(w, torch.cat(parts), self.settings)
        if self.settings.kind == "sae":
            return
        xs, ys = self._inputs(batch)
        for w, x, y in zip(self.coders, xs, ys, strict=True):
            # the ridge regression of y on x turns what features read into what they write
            gram = x.T @ x + 1e-2 * len(x) * torch.eye(x.shape[1])
            best = torch.linalg.solve(gram, x.T @ y)
            d = x.shape[1]
            w.decoder[:, :d] = w.encoder @ best
            w.decoder[:, d:] *= w.decoder[:, :d].norm(dim=1, keepdim=True) * 0.1
            renormalise(w)

    def _step(self, batch: Batch) -> list[Told]:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.rate_at(self.done)
        xs, ys = self._inputs(batch)
        if self.settings.activation == "jumprelu":
            told = [jump_step(w, x, y, self.settings) for w, x, y in zip(self.coders, xs, ys, strict=True)]
        elif self.settings.kind == "clt":
            told = step(self.coders, xs, ys, self.settings, self.ranks)
        else:
            told = [
                step([w], [x], [y], self.settings, self.ranks)[0]
                for w, x, y in zip(self.coders, xs, ys, strict=True)
            ]
        bad = [w.layer for w, t in zip(self.coders, told, strict=True) if not np.isfinite(t.loss)]
        if bad:
            raise CircuitsError(
                f"The loss of layer {bad[0]} is no number at step {self.done}: try a smaller --rate"
                f" than {self.settings.rate_at(self.done):.2g}."
            )
        for w in self.coders:
            project(w)
        self._optimiser.step()
        for w in self.coders:
            renormalise(w)
        return told

    def _grow(self) -> None:
        """Adds the features the next step is to be taken with, out of the last batches of this buffer."""
        if self.settings.features_at(self.done) == len(self.coders[0].idle) * self.ranks.world:
            return
        buffer = (self.done - 1) // self._source.batches_per_buffer * self._source.batches_per_buffer
        seen = [self._inputs(self._source.at(n)) for n in range(max(buffer, self.done - 8), self.done)]
        xs, ys = ([torch.cat(parts) for parts in zip(*side, strict=True)] for side in zip(*seen, strict=True))
        grow(self.coders, self._optimiser, (xs, ys), self.settings, self.done)

    def _restore(self, found: Checkpoint) -> None:
        own, names = self._tensors()
        for key, tensor in own.items():
            whole = found.tensors[key]
            tensor.copy_(self.ranks.share(whole) if names[key] in SHARED_OUT else whole)
        parameters = [name for w in self.coders for name in w.parameters()]
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in found.tensors.items():
            if key.startswith("optimiser."):
                _, number, name = key.split(".", 2)
                held = tensor.dim() and parameters[int(number)] in SHARED_OUT
                state.setdefault(int(number), {})[name] = (
                    self.ranks.share(tensor).clone() if held else tensor.clone()
                )
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state})

    def _folded(self, w: Weights) -> CoderLayer:
        """Gives one layer's weights in the model's own units: x' = (x - mean)/scale undone on both sides."""
        settings, d = self.settings, self.model.width
        read = self._scalings[w.layer, settings.read_site]
        write = {layer: self._scalings[layer, settings.write_site] for layer in settings.layers}
        own = write[w.layer]
        encoder = w.encoder / read.scale
        bias = w.decoder_bias * own.scale + own.mean
        skip = None if w.skip is None else w.skip * (own.scale / read.scale)
        if skip is not None:
            bias = bias - skip @ read.mean
        into = settings.layers[settings.layers.index(w.layer) :] if settings.kind == "clt" else (w.layer,)
        parts = torch.split(w.decoder, d, dim=1)
        return CoderLayer(
            layer=w.layer,
            encoder=DenseRows(encoder),
            encoder_bias=w.encoder_bias - encoder @ read.mean,
            decoders=tuple((to, DenseRows(p * write[to].scale)) for to, p in zip(into, parts, strict=True)),
            decoder_bias=bias,
            activation=_activation(w, settings) if w.router is None else folded_router(w, read, settings),
            skip=None if skip is None else DenseRows(skip),
        )


def _activation(w: Weights, settings: Training) -> Activation:
    if settings.activation == "topk":
        return TopK(settings.k, relu=True)
    if settings.activation == "batchtopk":
        return JumpReLU(w.threshold.clamp(min=0).expand(settings.features).clone())
    return JumpReLU(w.threshold.clamp(min=0))


def check(model: Model, settings: Training) -> None:
    """Raises `UsageError` for layers the model does not have, or a CLT of some layers only."""
    outside = [layer for layer in settings.layers if layer >= model.n_layers]
    if outside:
        raise UsageError(f"No layer {outside[0]} in {model.name}: it has layers 0 to {model.n_layers - 1}.")
    if settings.kind == "clt" and len(settings.layers) != model.n_layers:
        raise UsageError(
            f"A CLT writes into all later layers: train all {model.n_layers} layers of {model.name},"
            f" not {len(settings.layers)}."
        )


def _scalings(found: Checkpoint) -> dict[tuple[int, Any], Scaling]:
    places = [key.split(".")[1:] for key in found.tensors if key.startswith("mean.")]
    return {
        (int(layer), site): Scaling(
            found.tensors[f"mean.{layer}.{site}"].clone(), float(found.tensors[f"scale.{layer}.{site}"])
        )
        for layer, site in places
    }


def losses(told: Sequence[Told]) -> tuple[float, float, float]:
    """Gives mean FVU, L0 and dead share over the layers."""
    return (
        float(np.mean([t.fvu for t in told])),
        float(np.mean([t.l0 for t in told])),
        float(np.mean([t.dead for t in told])),
    )
