"""`circuits intervene`: do something to features, and see what the model then says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.text import Text

from circuits.cli import options
from circuits.cli.console import Output, stack
from circuits.cli.progress import telling
from circuits.cli.texts import Texts, texts_of
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.graph.graph import Graph
    from circuits.intervene.written import Asked, Verb

DONE: Final = "What to do"


def _option(metavar: str, help_: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, help=help_, rich_help_panel=DONE)
    return option


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=X",
        rich_help_panel=DONE,
        help="Set the activation of every node the name means.",
    ),
]
Scale = Annotated[list[str] | None, _option("NAME=X", "Multiply it, after values are set.")]
Add = Annotated[list[str] | None, _option("NAME=X", "Add to it, last.")]
Ablate = Annotated[
    list[str] | None,
    _option(
        "NAME[:WAY]", "Switch off (zero), or set to the mean or a drawn value (resample) in other texts."
    ),
]
Swap = Annotated[
    list[str] | None,
    _option("RUN[:NAME]", "Give features the values they have in another run; all of them without a name."),
]
Held = Annotated[
    str | None,
    typer.Option(
        "--hold",
        metavar="PARTS",
        rich_help_panel=options.HOW,
        help="What stays as it is: patterns, norms, mlps, several joined by commas; frozen (all) or nothing.",
        show_default="frozen and nothing, side by side",
    ),
]
Until = Annotated[
    int | None,
    typer.Option(
        metavar="L", rich_help_panel=options.HOW, help="Hold up to this layer only.", show_default="the end"
    ),
]
Generate = Annotated[
    int,
    typer.Option(metavar="N", min=0, rich_help_panel=options.OUT, help="Tokens to write after the prompt."),
]
Each = Annotated[
    bool, typer.Option("--each", rich_help_panel=options.HOW, help="One thing at a time, a row for each.")
]
AlignOption = Annotated[
    Literal["end", "start"],
    typer.Option(
        rich_help_panel=options.HOW, help="For --swap: from where places are counted in both prompts."
    ),
]
SeedOption = Annotated[
    int, typer.Option(rich_help_panel=options.HOW, help="For resample: of the drawn places.")
]


def intervene(
    run: options.Run,
    set_: Set = None,
    scale: Scale = None,
    add: Add = None,
    ablate: Ablate = None,
    swap: Swap = None,
    hold: Held = None,
    until: Until = None,
    each: Each = False,
    generate: Generate = 0,
    texts: Texts = None,
    align: AlignOption = "end",
    seed: SeedOption = 0,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Do something to features and words, and see what the model then says.

    A NAME is a node (12/4051@7), a feature everywhere (12/4051), a word of the prompt, a label or a concept.
    Several things are done at once. What the graph predicts stands beside what is measured on the model.

    ```
    circuits intervene run/france --set 12/4051@4=0 --generate 20
    circuits intervene run/dallas --ablate Dallas:mean --scale texas=2 --each
    circuits intervene run/dallas --swap run/seattle --hold frozen
    ```
    """
    from circuits.cli.again import loaded
    from circuits.cli.answer import rendered
    from circuits.cli.why import open_run
    from circuits.intervene.carry import Settings, carried
    from circuits.intervene.session import Session
    from circuits.intervene.what_if import Ways, hold_of, what_if

    output = Output(json, quiet)
    settings = Settings(texts_of(texts), seed, align)
    graph = open_run(run)
    wanted = _asked(graph, {"set": set_, "scale": scale, "add": add, "ablate": ablate, "swap": swap})
    hold_of(hold, None, 1)
    with telling(output) as tell:
        model, dictionary, forced = loaded(graph, tell, force=force)
        ways = Ways(hold_of(hold, until, model.n_layers), each, generate)
        session = Session.of(model, dictionary, graph, forced=bool(forced))
        parts = [carried(session, one, settings, tell) for one in wanted]
        answer = what_if(session, parts, ways, progress=tell)
    notes = Text("\n".join(forced)) if forced else None
    output.result(stack(notes, rendered(answer)), {**answer.to_dict(), "forced": list(forced)})


def _asked(graph: Graph, given: dict[Verb, list[str] | None]) -> Sequence[Asked]:
    """Gives what the options ask for, before a model is loaded."""
    from circuits.intervene.written import asked

    wanted = [asked(graph, verb, text) for verb, texts in given.items() for text in texts or ()]
    if not wanted:
        raise UsageError("Nothing is done: say what, with --set, --scale, --add, --ablate or --swap.")
    return wanted
