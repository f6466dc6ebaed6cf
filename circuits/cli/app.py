"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from circuits.cli import console
from circuits.cli.ask import ask
from circuits.cli.attribute import attribute
from circuits.cli.contrast import contrast
from circuits.cli.convert import convert
from circuits.cli.demo import demo
from circuits.cli.describe import describe
from circuits.cli.estimate import estimate
from circuits.cli.evaluate import evaluate
from circuits.cli.export import export
from circuits.cli.features import features
from circuits.cli.group import group
from circuits.cli.import_ import import_
from circuits.cli.info import info
from circuits.cli.interact import interact
from circuits.cli.intervene import intervene
from circuits.cli.plot import plot
from circuits.cli.query import query
from circuits.cli.report import report
from circuits.cli.serve import serve
from circuits.cli.steer import steer
from circuits.cli.train import train
from circuits.cli.validate import validate
from circuits.cli.verify import verify
from circuits.cli.why import why

EPILOG = (
    "Results go to stdout, progress to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found,"
    " 4 invalid file, 130 interrupted."
)

app = typer.Typer(
    name="circuits",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _version(wanted: bool) -> None:
    if wanted:
        from circuits import __version__

        console.write(f"circuits {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def top(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which features of a language model, and which combinations, produce an output.

    Start with **circuits demo**. Then **attribute** a prompt, look which combinations **interact**, ask
    **why**, **verify** it on the model, and **plot** or **report** the run.
    """
    if ctx.invoked_subcommand is None:
        console.write(ctx.get_help() + "\n")


COMMANDS = (
    demo,
    attribute,
    interact,
    group,
    why,
    contrast,
    query,
    ask,
    verify,
    intervene,
    steer,
    plot,
    report,
    serve,
    export,
    import_,
    validate,
    features,
    info,
    estimate,
    train,
    describe,
    evaluate,
    convert,
)

for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)  # import is a word of Python's
