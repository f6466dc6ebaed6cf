"""`circuits steer`: the smallest intervention that makes the model say something else."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from circuits.cli import options
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.progress import telling
from circuits.cli.texts import Texts, texts_of


def steer(
    run: options.Run,
    toward: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            rich_help_panel=options.WHAT,
            help='The output wanted, spelt as the tokenizer does: " Berlin".',
        ),
    ],
    budget: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=options.HOW, help="Features acted on, at most.")
    ] = 3,
    over: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            rich_help_panel=options.WHAT,
            help="The output it is to overtake.",
            show_default="all others",
        ),
    ] = None,
    strongest: Annotated[
        float,
        typer.Option(
            metavar="X", rich_help_panel=options.HOW, help="What a feature is multiplied by, at most."
        ),
    ] = 4.0,
    texts: Texts = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the fewest features to act on so that the model says something else, and try it on the model.

    Features are switched off, amplified, or turned on. The graph predicts which few do it together; the best
    candidates are tried on the model, and what the one that works does to other texts is measured.

    ```
    circuits steer run/france --toward " London" --budget 2
    circuits steer run/france --toward " Berlin" --over " Paris"
    ```
    """
    from circuits.cli.again import loaded
    from circuits.cli.answer import rendered
    from circuits.cli.why import open_run
    from circuits.engine.cache import use_compilation_cache
    from circuits.intervene.session import Session
    from circuits.intervene.steer import Reach
    from circuits.intervene.steer import steer as search
    from circuits.intervene.steer_text import command

    output = Output(json, quiet)
    reach, others = Reach(budget, strongest), texts_of(texts)
    graph = open_run(run)
    use_compilation_cache()
    with telling(output) as tell:
        model, dictionary, forced = loaded(graph, tell, force=force)
        session = Session.of(model, dictionary, graph, forced=bool(forced))
        found = search(session, toward, budget=reach, over=over, texts=others, progress=tell)
    answer = found.answer
    again = command(found, str(run))
    document = {**answer.to_dict(), "command": again, "forced": list(forced)}
    notes = Text("\n".join(forced)) if forced else None
    output.result(
        stack(notes, rendered(answer), Group(heading("Next"), commands([(f"{again} --generate 20", "")]))),
        document,
    )
