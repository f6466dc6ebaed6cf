"""Options of `circuits group`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import HOW, OUT

EDIT = "Edit by hand"
FILES = "Exchange"

Auto = Annotated[
    bool,
    typer.Option("--auto", help="Find groups, in place of those found before; concepts made by hand stay."),
]
Add = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SPEC",
        rich_help_panel=EDIT,
        help="Add a concept: texas=token:Dallas, x=12/4051,13/22@7. May be repeated.",
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", rich_help_panel=EDIT, help="Forget a concept. May be repeated."),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(metavar="OLD=NEW", rich_help_panel=EDIT, help="Call a concept otherwise. May be repeated."),
]
Save = Annotated[bool, typer.Option("--save", rich_help_panel=OUT, help="Write the concepts into the run.")]
Import = Annotated[
    Path | None,
    typer.Option(
        "--import", metavar="FILE", rich_help_panel=FILES, help="Add the concepts of a JSON or YAML file."
    ),
]
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE",
        rich_help_panel=FILES,
        help="Write the concepts into a .json or .yaml file.",
    ),
]
Share = Annotated[
    float,
    typer.Option(
        metavar="S",
        rich_help_panel=HOW,
        help="Group the features that carry this share of all features' influence.",
    ),
]
Stable = Annotated[
    float,
    typer.Option(
        metavar="S", rich_help_panel=HOW, help="Leave groups ungrouped whose stability is below this."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", rich_help_panel=HOW, help="Seed of the resampling.")]
