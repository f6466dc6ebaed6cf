"""`circuits group`: which nodes of a run belong together, found or given, and kept in the run."""

from __future__ import annotations

import json as documents
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.cli import group_options as own
from circuits.cli import options
from circuits.cli.again import kept_trace
from circuits.cli.combine import save as save_edited
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.paths import check_output
from circuits.cli.progress import Teller, telling
from circuits.cli.why import open_run
from circuits.errors import InvalidFile, NotFound, UsageError
from circuits.files import atomic

if TYPE_CHECKING:
    from circuits.graph.graph import Graph
    from circuits.query.answer import Answer


def group(
    run: options.Run,
    auto: own.Auto = False,
    add: own.Add = None,
    drop: own.Drop = None,
    rename: own.Rename = None,
    save: own.Save = False,
    take: own.Import = None,
    give: own.Export = None,
    share: own.Share = 0.9,
    stable: own.Stable = 0.6,
    seed: own.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Group the features of a run into concepts, or edit its concepts by hand.

    A run without concepts is grouped by what features read, write and where they stand; nothing is written
    without --save. Edits are made in this order: import, auto, drop, rename, add.

    ```
    circuits group run/demo
    circuits group run/demo --auto --rename "Dallas L0=texas" --save
    circuits group run/demo --add "capital=label:say capitals*" --export concepts.yaml
    ```
    """
    output = Output(json, quiet)
    graph = open_run(run)
    if give is not None:
        _check_export(give, overwrite=overwrite)
    edited = _imported(graph, take) if take is not None else graph
    plain = not (add or drop or rename or take) and not graph.nodes["concept"].drop_nulls().len()
    answer = None
    if auto or plain:
        with telling(output) as tell:
            edited, answer = _found(edited, run, (share, stable, seed), tell)
    edited = _edited(edited, drop or (), rename or (), add or ())
    if answer is None or add or drop or rename:
        answer = _told(edited, run)
    if give is not None:
        _export(edited, give, overwrite=overwrite)
    if save:
        meta = {key: value for key, value in edited.meta.items() if key != "run"}
        save_edited(replace(edited, meta=meta), run, run)
    from circuits.cli.answer import rendered

    said = [f"Wrote {where}." for where, wanted in ((give, give), (run, save)) if wanted]
    after = _next(run) if not save and not give else None
    shown = [heading(line) for line in said]
    text = stack(*([rendered(answer)] if answer else [heading("No concepts are left.")]), *shown, after)
    output.result(text, _document(edited, answer, saved=save))


def _found(
    graph: Graph, run: Path, settings: tuple[float, float, int], tell: Teller
) -> tuple[Graph, Answer | None]:
    """Gives the graph with the groups found, and what is to be said of them."""
    from circuits.query.grouping.communities import Resampling
    from circuits.query.grouping.edit import regrouped
    from circuits.query.grouping.group import group as find

    share, stable, seed = settings
    grouping = find(
        graph,
        kept_trace(run),
        share=share,
        stable=stable,
        settings=Resampling(seed=seed),
        progress=tell,
    )
    by_hand = graph.nodes["concept"].drop_nulls().len()
    return regrouped(grouping, graph), None if by_hand else grouping.answer()


def _edited(graph: Graph, drop: Any, rename: Any, add: Any) -> Graph:
    from circuits.query.grouping.edit import added, dropped, renamed

    if drop:
        graph = dropped(graph, drop)
    for pair in rename:
        old, equals, new = pair.partition("=")
        if not equals:
            raise UsageError(f"--rename {pair!r}: write OLD=NEW, such as --rename 'Dallas L0=texas'.")
        graph = renamed(graph, old.strip(), new)
    return added(graph, add) if add else graph


def _told(graph: Graph, run: Path) -> Answer | None:
    from circuits.query.grouping.answer import groups

    return groups(graph, kept_trace(run)) if graph.nodes["concept"].drop_nulls().len() else None


def _imported(graph: Graph, path: Path) -> Graph:
    import yaml

    from circuits.query.grouping.edit import read

    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML too
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        first = str(cause).splitlines()[0]
        raise InvalidFile(f"{path} is neither JSON nor YAML ({first}).") from cause
    return read(graph, told, str(path))


def _check_export(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() not in (".json", ".yaml", ".yml"):
        raise UsageError(f"{path} does not say which kind of file: end it in .json or .yaml.")
    check_output(path, overwrite=overwrite)


def _export(graph: Graph, path: Path, *, overwrite: bool) -> None:
    import yaml

    from circuits.query.grouping.edit import document

    told = document(graph)
    if path.suffix.lower() == ".json":
        text = documents.dumps(told, indent=1, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    with atomic(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _document(graph: Graph, answer: Answer | None, *, saved: bool) -> dict[str, Any]:
    from circuits.query.grouping.edit import document

    found = answer.to_dict() if answer else {"finding": ["No concepts are left."]}
    return {**found, "concepts": document(graph)["concepts"], "saved": saved}


def _next(run: Path) -> Any:
    from rich.console import Group

    kept = f"circuits group {shlex.quote(str(run))} --save"
    drawn = f"circuits plot {shlex.quote(str(run))} --kind concepts -o concepts.svg"
    lines = [(kept, "keep them in the run"), (drawn, "then draw how they feed each other")]
    return Group(heading("Next"), commands(lines))
