"""What `circuits train` does between its options and its result: plan, run, measure, save."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuits.cli.console import Output
from circuits.cli.progress import Teller
from circuits.errors import Incompatible, InvalidFile, UsageError

if TYPE_CHECKING:
    from circuits.models.base import Model
    from circuits.training.buffer import Buffer
    from circuits.training.metrics import Fit
    from circuits.training.settings import Training
    from circuits.training.tokens import Sequences
    from circuits.training.trainer import Progress, Trainer

Kind = Literal["transcoder", "skip-transcoder", "sae", "clt"]
Activation = Literal["topk", "batchtopk", "jumprelu"]
Site = Literal["mlp_out", "mlp_added", "block_out"]
Layout = Literal["circuit-tracer", "sae-lens", "compact"]
Store = Literal["float32", "float16"]


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and whose files written, as far as a command line says it.

    Attributes:
        kind: of the dictionary.
        activation: what decides which features are active; None takes what the layout can hold.
        site: of an SAE; None is the stream after a block.
        layout: None takes the one that suits the kind.
        store: the type of the numbers in the files.
        routed: groups and groups searched a token, as written, or None.
        growth: stages, as written.
    """

    kind: Kind
    activation: Activation | None
    site: Site | None
    layout: Layout | None
    store: Store
    routed: str | None = None
    growth: Sequence[str] = ()

    def decide(self, layers: tuple[int, ...], model: Model) -> tuple[Mapping[str, Any], Layout]:
        """Gives the settings of the training that follow, and the layout; refuses what cannot be saved.

        Raises:
            UsageError: the layout cannot hold what is asked for, or a site was given to transcoders.
        """
        from circuits.dictionaries.coders import CoderKind
        from circuits.dictionaries.save import check_layout, layout_of

        kind: CoderKind = "transcoder" if self.kind == "skip-transcoder" else self.kind
        if self.site is not None and kind != "sae":
            raise UsageError(
                f"--site says where an SAE sits, and a {self.kind} reads what an MLP receives and writes what"
                " it gives: leave it out."
            )
        layout = self.layout or ("compact" if self.routed else layout_of(kind))
        activation = self.activation
        if activation is None:
            unheld = (layout, kind) in {("sae-lens", "transcoder"), ("circuit-tracer", "clt")}
            activation = "batchtopk" if unheld else "topk"
        check_layout(layout, kind, "routed_topk" if self.routed else activation)
        some = layers != tuple(range(model.n_layers)) and layers[-1] < model.n_layers
        if some and (layout, kind) == ("circuit-tracer", "transcoder"):
            raise UsageError(
                f"circuit-tracer's layout holds transcoders of all {model.n_layers} layers of {model.name}:"
                " leave --layers out, or add --layout sae-lens."
            )
        skip = self.kind == "skip-transcoder"
        chosen: dict[str, Any] = {"kind": kind, "activation": activation, "skip": skip}
        chosen |= {} if self.site is None else {"site": self.site}
        chosen |= {} if self.routed is None else {"routed": _pair("--routed", self.routed, int, int)}
        stages = tuple(_pair("--growth", stage, int, float) for stage in self.growth)
        return {**chosen, "growth": stages}, layout


def _pair(option: str, written: str, *types: type[int] | type[float]) -> tuple[Any, ...]:
    """Gives the numbers of `64:4`."""
    parts = written.split(":")
    try:
        return tuple(kind(part) for kind, part in zip(types, parts, strict=True))
    except ValueError as cause:
        example = (
            "64:4 (groups, and groups searched)" if option == "--routed" else "2048:0.3 (features, share)"
        )
        raise UsageError(f"{option} {written!r} is no pair of numbers: write {example}.") from cause


def layers_of(written: str | None, count: int) -> tuple[int, ...]:
    """Gives the layers that `0-3` or `2` means; all where nothing is written.

    Raises:
        UsageError: it means none.
    """
    if written is None:
        return tuple(range(count))
    first, dash, last = written.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise UsageError(f"Layers {written!r} are no layer and no range: write 2, or 0-3.")
    return tuple(range(int(first), int(last or first) + 1))


def open_trainer(
    model: Model,
    sequences: Sequences,
    settings: Training,
    place: Path,
    stored: Buffer | None,
    *,
    overwrite: bool,
) -> Trainer:
    """Gives the run that stands in `place`, or a new one; with `overwrite` also where another's stands there.

    Raises:
        Incompatible, InvalidFile: another run's checkpoint, or a broken one, stands there.
    """
    from circuits.training.checkpoint import NAME, discard
    from circuits.training.parallel import join
    from circuits.training.trainer import Trainer

    ranks = join()
    try:
        return Trainer(model, sequences, settings, place, stored, ranks)
    except (Incompatible, InvalidFile):
        if not overwrite or not (place / NAME).exists():
            raise
    discard(place)
    return Trainer(model, sequences, settings, place, stored, ranks)


def follows() -> bool:
    """Tells whether torchrun started this process to help the first, which alone speaks and writes."""
    return os.environ.get("RANK", "0") != "0"


def run_trainer(trainer: Trainer, output: Output, tell: Teller) -> None:
    """Takes the remaining steps, telling how it goes."""
    if trainer.done:
        output.note(f"Going on after {trainer.done:,} of {trainer.settings.steps:,} steps.")
    from circuits.training.trainer import losses

    def listen(progress: Progress) -> None:
        fvu, l0, dead = losses(progress.told)
        loss = sum(told.loss for told in progress.told) / len(progress.told)
        how = f"loss {loss:.3g}, FVU {fvu:.3f}, L0 {l0:.1f}, dead {dead:.1%}"
        tell("Training", progress.step, progress.steps, how)

    trainer.train(listen)
    trainer.dictionary()  # gathered while all processes that hold parts of it are here


def measure(trainer: Trainer, held: Sequences, tell: Teller) -> dict[int, Fit]:
    """Gives FVU, L0 and dead share of each layer on sequences that were not trained on."""
    from circuits.training.metrics import held_out, passing

    dictionary = trainer.dictionary()
    return held_out(dictionary, passing(trainer.model, dictionary, held, tell))


def save(trainer: Trainer, sequences: Sequences, out: Path, plan: Plan, *, overwrite: bool) -> None:
    """Writes what was trained."""
    from circuits.dictionaries.formats.sae_lens_save import Origin
    from circuits.dictionaries.save import save_dictionary
    from circuits.training.activations import FIRST

    origin = Origin(
        model=name_of(trainer.model),
        text=Path(sequences.source).name,
        context=int(sequences.ids.shape[1]),
        prepend_bos=len(set(sequences.ids[:, 0].tolist())) == 1,
        first=FIRST,
    )
    dictionary = trainer.dictionary()
    save_dictionary(out, dictionary, plan.layout, origin=origin, store=plan.store, overwrite=overwrite)


def name_of(model: Model) -> str:
    """Gives a model's name as others may know it: on the hub, or the last part of a path."""
    return model.name if Path(model.spec).exists() else model.spec
