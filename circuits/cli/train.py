"""`circuits train`: a model and text to a dictionary."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group

from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, stack
from circuits.cli.paths import DICTIONARY, check_output
from circuits.cli.progress import Teller, telling
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.training.settings import Training
    from circuits.training.trainer import Progress, Trainer

Kind = Literal["transcoder", "skip-transcoder"]
Activation = Literal["topk", "batchtopk", "jumprelu"]
WHAT = "What to train"


Text = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Text, .jsonl with a text a line, or token ids (.npy, .npz)."),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The dictionary to make.")]
Layers = Annotated[
    str | None, typer.Option(rich_help_panel=WHAT, metavar="A-B", show_default="all", help="Layers.")
]
Features = Annotated[
    int | None,
    typer.Option(rich_help_panel=WHAT, metavar="N", show_default="8 times the width", help="Per layer."),
]
Rate = Annotated[
    float | None,
    typer.Option(show_default="2e-3 · √(1024 / features)", help="The largest learning rate."),
]
Precision = Annotated[
    Literal["float32", "bfloat16"],
    typer.Option(help="bfloat16 chooses features in it and computes with them in float32."),
]


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for attribute's --model.")],
    text: Text,
    out: Out,
    kind: Annotated[Kind, typer.Option(rich_help_panel=WHAT, help="Kind of dictionary.")] = "transcoder",
    layers: Layers = None,
    features: Features = None,
    k: Annotated[int, typer.Option("-k", rich_help_panel=WHAT, help="Active features a token.")] = 32,
    activation: Annotated[Activation, typer.Option(rich_help_panel=WHAT, help="What decides.")] = "topk",
    tokens: Annotated[int, typer.Option(metavar="N", help="Tokens to see in all.")] = 2_000_000,
    batch: Annotated[int, typer.Option(metavar="N", help="Tokens a step.")] = 2048,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens a sequence.")] = 128,
    rate: Rate = None,
    precision: Precision = "float32",
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train transcoders on a model's own activations.

    A run that was stopped goes on where it was when the same command is given again, and ends in the same
    weights as if it had not stopped. Until it is done it stands in DIR.training.

    ```
    circuits train toy --text corpus.txt -o dictionaries/mine --features 2048 -k 16
    circuits attribute "The capital of Texas is" --model toy --dictionary dictionaries/mine -o run/texas
    ```
    """
    output = Output(json, quiet)
    check_output(out, overwrite=overwrite, directory=True, marker=DICTIONARY)
    place = out.with_name(f"{out.name}.training")
    settings: dict[str, Any] = {
        "k": k,
        "activation": activation,
        "tokens": tokens,
        "batch": batch,
        "rate": rate,
    }
    settings |= {"precision": precision, "seed": seed, "skip": kind == "skip-transcoder"}
    with telling(output) as tell:
        tell(f"Loading {model}", 0, 0)
        from circuits.models.load import load_model
        from circuits.training.settings import Training
        from circuits.training.tokens import load_sequences
        from circuits.training.trainer import Trainer

        loaded = load_model(model)
        chosen = _layers(layers, loaded.n_layers)
        asked = Training(layers=chosen, features=features or 8 * loaded.width, **settings)
        sequences = load_sequences(text, loaded, length)
        if overwrite:
            shutil.rmtree(place, ignore_errors=True)
        trainer = Trainer(loaded, sequences, asked, place)
        last = _train(trainer, output, tell)
    _save(trainer, out, overwrite=overwrite)
    shutil.rmtree(place, ignore_errors=True)
    output.result(*_result(out, asked, last))


def _train(trainer: Trainer, output: Output, tell: Teller) -> list[Progress]:
    """Takes the remaining steps and gives the last one's progress, if there was one."""
    if trainer.done:
        output.note(f"Going on after {trainer.done:,} of {trainer.settings.steps:,} steps.")
    last: list[Progress] = []

    def listen(progress: Progress) -> None:
        last[:] = [progress]
        tell("Training", progress.step, progress.steps)

    trainer.train(listen)
    return last


def _layers(written: str | None, count: int) -> tuple[int, ...]:
    """Gives the layers that `0-3` or `2` means; all where nothing is written."""
    if written is None:
        return tuple(range(count))
    first, dash, last = written.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise UsageError(f"Layers {written!r} are no layer and no range: write 2, or 0-3.")
    return tuple(range(int(first), int(last or first) + 1))


def _save(trainer: Trainer, out: Path, *, overwrite: bool) -> None:
    from circuits.dictionaries.formats.circuit_tracer import save_transcoders

    dictionary = trainer.dictionary()
    coders = [dictionary.coder(layer) for layer in dictionary.layers]
    save_transcoders(out, coders, dictionary.settings, overwrite=overwrite)


def _result(out: Path, settings: Training, last: list[Progress]) -> tuple[Any, dict[str, Any]]:
    """Gives what was made, for people and for --json."""
    told = dict(zip(settings.layers, last[0].told, strict=True)) if last else {}
    rows = [
        (f"layer {layer}", f"FVU {t.fvu:.3f}", f"of its last batch; L0 {t.l0:.1f}, dead {t.dead:.1%}")
        for layer, t in told.items()
    ]
    where = shlex.quote(str(out))
    following = [(f"circuits info {where}", "what it holds")]
    shown = stack(
        heading(f"{out}: {settings.features:,} features for each of {len(settings.layers)} layers."),
        facts(rows),
        Group(heading("Next"), commands(following)),
    )
    layers = {str(layer): vars(t) for layer, t in told.items()}
    return shown, {"dictionary": str(out), "settings": settings.as_json(), "layers": layers}
