"""`circuits train`: a model and text to a dictionary."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.console import Group

from circuits.cli import options, training
from circuits.cli.console import Output, commands, facts, heading, stack
from circuits.cli.paths import check_output
from circuits.cli.progress import telling

if TYPE_CHECKING:
    from circuits.training.metrics import Fit
    from circuits.training.trainer import Trainer

WHAT = "What to train"
WHERE = "What to write"
FROM = "Activations on disk"

Text = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Text, .jsonl with a text a line, or token ids (.npy, .npz)."),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", rich_help_panel=WHERE, help="The dictionary to make."),
]
What = Annotated[training.Kind, typer.Option(rich_help_panel=WHAT, help="Kind of dictionary.")]
Layers = Annotated[
    str | None, typer.Option(rich_help_panel=WHAT, metavar="A-B", show_default="all", help="Layers.")
]
Features = Annotated[
    int | None,
    typer.Option(rich_help_panel=WHAT, metavar="N", show_default="8 times the width", help="Per layer."),
]
Selects = Annotated[
    training.Activation | None,
    typer.Option(
        rich_help_panel=WHAT,
        show_default="topk; of CLTs, and of transcoders in sae-lens's layout, batchtopk",
        help="What decides which features are active.",
    ),
]
Where = Annotated[
    training.Site | None,
    typer.Option(
        rich_help_panel=WHAT,
        show_default="block_out",
        help="Where an SAE sits: the stream after a block, or its MLP's output before or after a norm.",
    ),
]
Layout = Annotated[
    training.Layout | None,
    typer.Option(
        rich_help_panel=WHERE,
        show_default="sae-lens for SAEs, else circuit-tracer",
        help="Whose files to write; compact is ours, int8, a quarter of the size.",
    ),
]
Store = Annotated[
    training.Store,
    typer.Option(rich_help_panel=WHERE, help="The type of the numbers in the files."),
]
Kept = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=FROM,
        show_default="the model is run as needed",
        help="Compute activations once, keep them here, and train from them; other runs may use them too.",
    ),
]
KeptType = Annotated[
    training.Store,
    typer.Option(rich_help_panel=FROM, help="The type of the numbers in the buffer."),
]
Rate = Annotated[
    float | None,
    typer.Option(show_default="2e-3 · √(1024 / features)", help="The largest learning rate."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of the weights to begin with and the order of tokens.")]
Precision = Annotated[
    Literal["float32", "bfloat16"],
    typer.Option(help="bfloat16 chooses features in it and computes with them in float32."),
]


LARGE = "Large dictionaries"
NAMES: Final[dict[training.Kind, str]] = {
    "transcoder": "transcoders",
    "skip-transcoder": "skip transcoders",
    "sae": "SAEs",
    "clt": "a cross-layer transcoder",
}
Routed = Annotated[
    str | None,
    typer.Option(
        metavar="N:N",
        rich_help_panel=LARGE,
        show_default="every token meets every feature",
        help="Groups of features, and how many of them a token searches: 64:4.",
    ),
]
Growth = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N:SHARE",
        rich_help_panel=LARGE,
        show_default="all features from the start",
        help="Features until a share of the steps, then more: 1536:0.3; may be given several times.",
    ),
]


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for attribute's --model.")],
    text: Text,
    out: Out,
    kind: What = "transcoder",
    site: Where = None,
    layers: Layers = None,
    features: Features = None,
    k: Annotated[int, typer.Option("-k", rich_help_panel=WHAT, help="Active features a token.")] = 32,
    activation: Selects = None,
    tokens: Annotated[int, typer.Option(metavar="N", help="Tokens to see in all.")] = 2_000_000,
    batch: Annotated[int, typer.Option(metavar="N", help="Tokens a step.")] = 2048,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens a sequence.")] = 128,
    rate: Rate = None,
    precision: Precision = "float32",
    routed: Routed = None,
    growth: Growth = None,
    buffer: Kept = None,
    buffer_type: KeptType = "float32",
    layout: Layout = None,
    store: Store = "float32",
    seed: Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a dictionary on a model's own activations: transcoders, SAEs or a cross-layer transcoder.

    2% of the text, drawn from all over it (at least one batch), is kept from training, and the dictionary
    is measured on it at the end. A run that was stopped goes on where it was when the same command is
    given again, and ends in the same weights as if it had not stopped. Until it is done it stands in
    DIR.training; --overwrite also begins again where a run of other settings stands there.

    ```
    circuits train toy --text corpus.txt -o dictionaries/mine --features 2048 -k 16
    circuits attribute "The capital of Texas is" --model toy --dictionary dictionaries/mine -o run/texas
    circuits train toy --text corpus.txt -o saes --kind sae --layers 2
    torchrun --nproc-per-node 2 -m circuits train toy --text corpus.txt -o large --features 19200
    ```
    """
    output = Output(json, quiet or training.follows())
    check_output(out, overwrite=overwrite, directory=True, kind="dictionary")
    plan = training.Plan(kind, activation, site, layout, store, routed, growth or ())
    settings: dict[str, Any] = {"k": k, "tokens": tokens, "batch": batch, "rate": rate}
    settings |= {"precision": precision, "seed": seed}
    with telling(output) as tell:
        tell(f"Loading {model}", 0, 0)
        from circuits.models.load import load_model
        from circuits.training.buffer import fill
        from circuits.training.checkpoint import discard
        from circuits.training.settings import Training
        from circuits.training.tokens import hold_out, load_sequences
        from circuits.training.trainer import check

        loaded = load_model(model)
        chosen = training.layers_of(layers, loaded.n_layers)
        decided, layout = plan.decide(chosen, loaded)
        asked = Training(layers=chosen, features=features or 8 * loaded.width, **settings, **decided)
        check(loaded, asked)
        sequences = load_sequences(text, loaded, length).mixed()
        learned, held = hold_out(sequences, asked.batch)
        stored = None if buffer is None else fill(buffer, loaded, sequences, asked.places, buffer_type, tell)
        place = out.with_name(f"{out.name}.training")
        trainer = training.open_trainer(loaded, learned, asked, place, stored, overwrite=overwrite)
        training.run_trainer(trainer, output, tell)
        if training.follows():
            return
        fits = training.measure(trainer, held, tell)
    plan = dataclasses.replace(plan, layout=layout)
    training.save(trainer, learned, out, plan, overwrite=overwrite)
    discard(place)
    output.result(*_result(out, trainer, plan, fits))


def _result(
    out: Path, trainer: Trainer, plan: training.Plan, fits: dict[int, Fit]
) -> tuple[Any, dict[str, Any]]:
    """Gives what was made, for people and for --json."""
    settings, measured = trainer.settings, next(iter(fits.values())).tokens
    rows = [
        (f"layer {layer}", f"FVU {fit.fvu:.3f}", f"L0 {fit.l0:.1f}, dead {fit.dead:.1%}")
        for layer, fit in fits.items()
    ]
    where, count = shlex.quote(str(out)), len(settings.layers)
    each = f"in layer {settings.layers[0]}" if count == 1 else f"in each of {count} layers"
    shown = stack(
        heading(f"{out}: {NAMES[plan.kind]}, {settings.features:,} features {each}, {plan.layout} layout."),
        Group(f"On {measured:,} tokens kept from training:", facts(rows)),
        Group(heading("Next"), commands([(f"circuits info {where}", "what it holds")])),
    )
    document = {
        "dictionary": str(out),
        "layout": plan.layout,
        "store": plan.store,
        "settings": settings.as_json(),
        "held_out_tokens": measured,
        "layers": {layer: {"fvu": fit.fvu, "l0": fit.l0, "dead": fit.dead} for layer, fit in fits.items()},
    }
    return shown, document
