"""`circuits describe`: a model, its dictionary and text to cards of what the features mean."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, size, stack
from circuits.cli.paths import check_output
from circuits.cli.progress import telling

if TYPE_CHECKING:
    from circuits.cards.record import Cards

HOW = "How to describe"


Dictionary = Annotated[
    str,
    typer.Argument(metavar="DICT", help="The dictionary, as `circuits attribute --dictionary` has it."),
]
Text = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="Text, .jsonl, or token ids; arrays of an .npz and files of a directory are domains.",
    ),
]
Concepts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help='JSON of named concepts: {"name": {"tokens": [" a"]}, …}.'),
]
Length = Annotated[int, typer.Option(metavar="N", min=3, rich_help_panel=HOW, help="Tokens of a sequence.")]
Top = Annotated[
    int,
    typer.Option(metavar="N", min=1, rich_help_panel=HOW, help="Contexts of the largest activations."),
]
Precision = Annotated[
    float,
    typer.Option(metavar="P", min=0, max=1, rich_help_panel=HOW, help="What a label must reach, held out."),
]
Recall = Annotated[
    float,
    typer.Option(metavar="R", min=0, max=1, rich_help_panel=HOW, help="What a label must reach, held out."),
]
Seed = Annotated[int, typer.Option(rich_help_panel=HOW, help="Of all draws.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        show_default="cards.parquet beside the dictionary",
        help="The cards.",
    ),
]


def describe(
    dictionary: Dictionary,
    text: Text,
    model: options.ModelSpec = None,
    concepts: Concepts = None,
    length: Length = 128,
    top: Top = 4,
    precision: Precision = 0.7,
    recall: Recall = 0.05,
    seed: Seed = 0,
    out: Out = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Describe what the features of a dictionary mean: cards, with labels tested on held-out text.

    Labels are chosen on one half of the text and published, with precision and recall, if they hold on the
    other. `circuits features` shows the cards; `circuits attribute` puts the labels on its nodes.

    ```
    circuits describe dictionaries/mine --model toy --text corpus.txt --concepts concepts.json
    circuits features dictionaries/mine --search capital
    ```
    """
    output = Output(json, quiet)
    from circuits.cards.settings import Describing, Limits
    from circuits.cards.store import cards_path, save_cards

    path = out or cards_path(dictionary)
    check_output(path, overwrite=overwrite)
    how = Describing(top=top, seed=seed, limits=Limits(precision=precision, recall=recall))
    with telling(output) as tell:
        tell(f"Loading {model or 'smollm2'}", 0, 0)
        from circuits.cards.concepts import load_concepts
        from circuits.cards.describe import describe as make
        from circuits.cards.text import load_text
        from circuits.dictionaries.load import load_dictionary
        from circuits.models.load import load_model

        named = load_concepts(concepts) if concepts is not None else None
        loaded = load_model(model or "smollm2")
        coders = load_dictionary(dictionary, loaded)
        cards = make(loaded, coders, load_text(text, loaded, length), named, how, progress=tell)
    save_cards(cards, path, overwrite=overwrite)
    output.result(*_result(cards, path, dictionary, beside=out is None))


def _result(cards: Cards, path: Path, dictionary: str, *, beside: bool) -> tuple[Any, dict[str, Any]]:
    """Gives what was made, for people and for --json."""
    layers = {}
    for (layer,), part in cards.table.group_by("layer", maintain_order=True):
        on = int((part["frequency"] > 0).sum())
        layers[str(layer)] = {"features": len(part), "on": on, "labelled": part["label"].count()}
    rows = [
        (f"layer {layer}", f"{told['labelled']:,} labelled", f"of {told['on']:,} that are ever on")
        for layer, told in layers.items()
    ]
    text = cards.meta["text"]
    rows.append(("text", f"{text['choosing'] + text['testing']:,} tokens", "half to choose, half to test"))
    rows.append(("on disk", size(path.stat().st_size), ""))
    named = "" if beside else f" --cards {shlex.quote(str(path))}"
    following = [(f"circuits features {shlex.quote(dictionary)}{named}", "what they mean")]
    shown = stack(
        heading(f"{path}: cards of {len(cards):,} features."),
        facts(rows),
        Group(heading("Next"), commands(following)),
    )
    document = {"cards": str(path), "layers": layers, "text": text, "limits": cards.meta["limits"]}
    return shown, document
