"""`circuits convert`: a dictionary of any layout in another."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from circuits.cli import options, training
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.paths import check_output
from circuits.cli.progress import telling

WHERE = "What to write"


def convert(
    dictionary: Annotated[
        str,
        typer.Argument(metavar="DICT", help="In any layout, as for attribute's --dictionary."),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help="The model it is for, as for attribute.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", rich_help_panel=WHERE, help="The directory to make.")
    ],
    layout: Annotated[
        training.Layout | None,
        typer.Option(
            rich_help_panel=WHERE,
            show_default="sae-lens for SAEs, else circuit-tracer",
            help="Whose files to write; compact is ours, int8, a quarter of the size.",
        ),
    ] = None,
    store: Annotated[
        training.Store, typer.Option(rich_help_panel=WHERE, help="The type of the numbers in the files.")
    ] = "float32",
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a dictionary in the layout of another library, activations unchanged.

    Scales and biases that its own library applies on the way are folded into the weights. What a layout
    cannot hold is refused.

    ```
    circuits convert gemma-scope/layer_12 --model google/gemma-2-2b -o saes --layout sae-lens
    ```
    """
    output = Output(json, quiet)
    check_output(out, overwrite=overwrite, directory=True, kind="dictionary")
    with telling(output) as tell:
        tell(f"Loading {model}", 0, 0)
        from circuits.dictionaries.formats.sae_lens_save import Origin
        from circuits.dictionaries.load import load_dictionary
        from circuits.dictionaries.save import layout_of, save_dictionary
        from circuits.models.load import load_model

        loaded = load_model(model)
        found = load_dictionary(dictionary, loaded)
        tell(f"Writing {out}", 0, 0)
        save_dictionary(
            out, found, layout, origin=Origin(training.name_of(loaded)), store=store, overwrite=overwrite
        )
    each = (
        f"in layer {found.layers[0]}" if len(found.layers) == 1 else f"in each of {len(found.layers)} layers"
    )
    written = layout or layout_of(found.kind)
    document = {
        "dictionary": str(out),
        "from": dictionary,
        "layout": written,
        "kind": found.kind,
        "layers": list(found.layers),
        "features": found.n_features,
    }
    shown = stack(
        heading(f"{out}: {found.n_features:,} features {each}, {written} layout."),
        Group(heading("Next"), commands([(f"circuits info {shlex.quote(str(out))}", "what it holds")])),
    )
    output.result(shown, document)
