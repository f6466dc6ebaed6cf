"""Options of `circuits interact`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import HOW, OUT

WHICH = "Which combinations"

Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        rich_help_panel=WHICH,
        metavar="mlp|qk|output",
        help="Where: inside features, in attention scores, towards the target. May be repeated.",
        show_default="all that are possible",
    ),
]
Order = Annotated[
    int, typer.Option(min=2, metavar="N", rich_help_panel=WHICH, help="2 for pairs, 3 for triples too.")
]
Index = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=WHICH,
        help="The definition: SII, k-SII, STII, FSII, BII, CHII, Moebius or Co-Moebius.",
        show_default="each channel's own",
    ),
]
Concepts = Annotated[
    list[str] | None,
    typer.Option(
        "--concept",
        metavar="NAME=SPEC",
        rich_help_panel=WHICH,
        help="A set of nodes: texas=token:Dallas, x=12/4051@7,13/22@7, y=12/4051, cap=label:capital*,"
        " z=pos:3-5&layer:2; auto groups them by label and place. Two or three are tested for the gate they"
        " make.",
    ),
]
Players = Annotated[
    str | None,
    typer.Option(
        metavar="N|words|SPEC",
        rich_help_panel=WHICH,
        help="What plays towards the output, each by itself: N features, the most influential; words; or"
        " nodes as for --concept.",
        show_default="16",
    ),
]
Heads = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        metavar="L.H",
        rich_help_panel=WHICH,
        help="An attention head: 5.3 is head 3 of layer 5; 5.3@7 looks from position 7, 5.3@7,4 at 4."
        " May be repeated.",
        show_default="the most influential",
    ),
]
Gates = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        rich_help_panel=WHICH,
        help="Features looked into, the most influential first.",
        show_default="all",
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", rich_help_panel=WHICH, help="Combinations kept of each feature, head or target."
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(min=1, metavar="M", rich_help_panel=HOW, help="Coalitions evaluated towards the output."),
]
Draws = Annotated[
    int,
    typer.Option(metavar="R", rich_help_panel=HOW, help="Random backgrounds of the test of concepts."),
]
Seed = Annotated[int, typer.Option(rich_help_panel=HOW, help="Of all that is drawn.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="RUN",
        rich_help_panel=OUT,
        help="Make a new run.",
        show_default="RUN itself gets the combinations",
    ),
]
