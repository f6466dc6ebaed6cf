"""The list of runs, and what a run holds: its document, its tables, its report."""

# annotations are evaluated at once here: those of addresses hold the limits

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import Response

from circuits.errors import CircuitsError
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.why import why
from circuits.server.desk import Desk
from circuits.server.folder import Listed
from circuits.server.records import Choice, Output, Page, Problem, RunItem, Runs
from circuits.server.served import Served
from circuits.server.told import sent

PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No such run."},
    422: {"model": Problem, "description": "The request, or the run, cannot be read."},
    503: {"model": Problem, "description": "Too much is asked at once."},
    504: {"model": Problem, "description": "It took too long."},
}
Name = Literal["nodes", "edges", "hyperedges", "verdicts"]
Against = Annotated[str | None, Query(max_length=500, description="A second run to compare with.")]


def router(served: Served, desk: Desk) -> APIRouter:
    """Gives the addresses below /api/runs that read."""
    limits = served.limits
    routes = APIRouter(prefix="/api/runs", tags=["runs"], responses=PROBLEMS)

    @routes.get("", summary="List the runs", response_model=Runs)
    def listed() -> Runs:
        """All runs below the served folder, the newest first; one that cannot be read says why."""
        found = served.folder.listed()
        return Runs(
            folder=served.folder.root.name,
            runs=[item(one) for one in found],
            more=len(found) >= limits.runs,
            choices=[Choice(model=model, dictionary=dictionary) for model, dictionary in served.choices()],
            writable=not served.folder.single and os.access(served.folder.root, os.W_OK | os.X_OK),
        )

    @routes.get("/{run:path}/document", summary="What the viewer shows", response_class=Response)
    async def document(
        run: str, against: Against = None, nodes: Annotated[int, Query(ge=1, le=limits.nodes)] = 2_000
    ) -> Response:
        """The viewer's document of a run, or of two: the `nodes` most influential nodes and what joins them.

        `circuits/viewer/app/src/document.ts` tells what each part is; `left_out` what is not in it.
        """
        return sent(await desk.do(lambda: _document(served, run, against, nodes), limits.load), limits.result)

    @routes.get("/{run:path}/tables/{table}", summary="Rows of a table", response_model=Page)
    async def table(
        run: str,
        table: Name,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=limits.rows)] = min(100, limits.rows),
    ) -> Response:
        """A page of the nodes, edges, hyperedges or verdicts, in the order of the file, numbers exact."""
        return sent(
            await desk.do(
                lambda: _page(served.graph(run), run, table, slice(offset, offset + limit)), limits.load
            ),
            limits.result,
        )

    @routes.get("/{run:path}/report", summary="Download the report", response_class=Response)
    async def report(run: str, against: Against = None) -> Response:
        """One HTML file that needs no server and no network, as `circuits report` writes it."""
        page = await desk.do(lambda: _report(served, run, against), limits.load)
        name = f"{run.replace('/', '-')}.html"
        plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
        return Response(
            page,
            media_type="text/html; charset=utf-8",
            headers={
                "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
            },
        )

    return routes


def item(one: Listed) -> RunItem:
    """Gives a run as the list tells of it, from its manifest alone."""
    meta, rows = _mapping(one.manifest.get("meta")), _mapping(one.manifest.get("rows"))
    prompt, scores = _mapping(meta.get("prompt")), _mapping(meta.get("scores"))
    counts = {name: rows.get(name) for name in ("nodes", "edges", "hyperedges", "verdicts")}
    return RunItem(
        run=one.name,
        prompt=_text(prompt.get("text")),
        output=_output(meta.get("targets")),
        model=_text(_mapping(meta.get("model")).get("spec")),
        dictionary=_text(_mapping(meta.get("dictionary")).get("spec")),
        tokens=len(prompt["tokens"]) if isinstance(prompt.get("tokens"), list) else None,
        **{name: n if isinstance(n, int) else None for name, n in counts.items()},
        created=_text(meta.get("created")),
        scores={str(name): float(v) for name, v in scores.items() if isinstance(v, int | float)},
        error=one.problem,
    )


def _output(targets: Any) -> Output | None:
    """Gives the likeliest target in words."""
    known = [one for one in targets if isinstance(one, Mapping)] if isinstance(targets, list) else []
    if not known:
        return None
    first = max(known, key=lambda one: _number(one.get("probability")) or 0.0)
    words = first.get("tokens")
    text = " − ".join(map(str, words)) if isinstance(words, list) and words else str(first.get("name", ""))
    return Output(text=text, probability=_number(first.get("probability")))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _document(served: Served, run: str, against: str | None, nodes: int) -> dict[str, Any]:
    from circuits.viewer import Shown, document

    one = served.folder.find(run)
    two = served.folder.find(against) if against else None
    key = (one.name, one.checksum, two.name if two else "", two.checksum if two else "", nodes)

    def make() -> dict[str, Any]:
        graph = served.graph_of(one)
        return document(
            graph,
            answer=None if two else _why(graph),
            against=served.graph_of(two) if two else None,
            shown=Shown(nodes=nodes),
            name=one.name,
        )

    return served.documents.get(key, make)


def _why(graph: Graph) -> Answer | None:
    """Gives why the graph's target is said; None where nothing could be explained."""
    try:
        return why(graph)
    except CircuitsError:
        return None


def _page(graph: Graph, run: str, name: Name, rows: slice) -> dict[str, Any]:
    tables: Mapping[Name, Any] = {
        "nodes": graph.nodes,
        "edges": graph.edges,
        "hyperedges": graph.hyperedges,
        "verdicts": graph.verdicts,
    }
    table = tables[name]
    return {
        "run": run,
        "table": name,
        "total": len(table),
        "offset": rows.start,
        "next": rows.stop if rows.stop < len(table) else None,
        "columns": table.columns,
        "rows": [list(row) for row in table[rows].iter_rows()],
    }


def _report(served: Served, run: str, against: str | None) -> bytes:
    from circuits.report import save_report

    graph = served.graph(run)
    other = {"against": served.graph(against)} if against else {}
    save: Callable[..., Path] = save_report
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "report.html"
        save(graph, file, **other)
        return file.read_bytes()
