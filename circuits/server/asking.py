"""What is asked of a run: questions, SQL, interventions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from fastapi import APIRouter
from fastapi.responses import Response

from circuits.errors import NotFound, UsageError, near_matches
from circuits.server.desk import Desk
from circuits.server.records import AnswerOut, AskBody, InterveneBody, IntervenedOut, SqlBody, SqlOut
from circuits.server.runs import PROBLEMS
from circuits.server.served import Served
from circuits.server.told import answer_part, plain_table, sent

if TYPE_CHECKING:
    from circuits.graph.graph import Graph
    from circuits.intervene.carry import Carried
    from circuits.intervene.session import Session
    from circuits.intervene.written import Asked

SPENT: Final = 5.0
"""Seconds a request may take beyond what a search or a query is given."""


def router(served: Served, desk: Desk, bench: Desk) -> APIRouter:
    """Gives the addresses that ask.

    Args:
        served: the runs.
        desk: where questions are answered.
        bench: where the model is, which one request at a time may use.
    """
    limits = served.limits
    routes = APIRouter(prefix="/api/runs", tags=["questions"], responses=PROBLEMS)

    @routes.post("/{run:path}/ask", summary="Ask in words", response_model=AnswerOut)
    async def ask(run: str, body: AskBody) -> Response:
        """Answers a question in the fixed grammar of `circuits ask`; no language model reads it.

        Another run in a question (`compare with RUN2`) is named as the list names it.
        """
        answer = await desk.do(lambda: _answer(served, run, body.question), limits.seconds + SPENT)
        return sent(answer, limits.result)

    @routes.post("/{run:path}/sql", summary="Ask in SQL", response_model=SqlOut)
    async def sql(run: str, body: SqlBody) -> Response:
        """One SELECT over the run's tables and macros, those of `circuits query RUN --schema`.

        It is a stranger's query to the engine: in a process of its own, which can open no file and is
        killed when its time is up.
        """
        rows = await desk.do(lambda: _rows(served, run, body.query), limits.load)
        return sent(rows, limits.result)

    @routes.post("/{run:path}/intervene", summary="Intervene on the model", response_model=IntervenedOut)
    async def intervene(run: str, body: InterveneBody) -> Response:
        """Does something to features and words: what the graph predicts beside what the model does.

        The model is loaded at the first request, which takes longer, and kept.
        """
        if body.generate > limits.tokens:
            raise UsageError(
                f"{body.generate} tokens are more than the {limits.tokens} written here: ask for fewer."
            )
        return sent(await bench.do(lambda: _intervened(served, run, body), limits.load), limits.result)

    @routes.get("/{run:path}/schema", summary="What SQL can name")
    async def schema(run: str) -> Response:
        """Tables with their columns, and macros with an example of this run, for queries in SQL."""
        return sent(await desk.do(lambda: _schema(served, run), limits.load), limits.result)

    return routes


def questions() -> list[dict[str, Any]]:
    """Gives all that can be asked in words."""
    from circuits.query.ask.forms import FORMS

    return [{"says": form.says, "ways": list(form.ways)} for form in FORMS]


def _answer(served: Served, run: str, question: str) -> dict[str, Any]:
    from circuits.query.ask.builder import Asked
    from circuits.query.ask.parse import parse
    from circuits.query.limit import Limit

    asked = parse(question)
    limit = Limit(seconds=served.limits.seconds)
    answer = Asked(served.graph(run), asked, limit, question).answer(served.graph)
    return answer_part(answer, served.limits.rows)


def _rows(served: Served, run: str, query: str) -> dict[str, Any]:
    from circuits.query.sql.ask import sql
    from circuits.query.sql.budget import UNTRUSTED

    limits = served.limits
    found = served.folder.find(run)
    budget = replace(
        UNTRUSTED,
        seconds=min(limits.seconds, UNTRUSTED.seconds or limits.seconds),
        rows=limits.rows,
        result=limits.result // 2,
    )
    rows = sql(found.path, query, trusted=False, budget=budget)
    return {
        **plain_table(rows.table, rows.finding),
        "finding": rows.finding,
        "more": rows.cut is not None,
        "code": f"circuits.sql({run!r}, {query!r}, trusted=False)",
    }


def _schema(served: Served, run: str) -> dict[str, Any]:
    from circuits.query.sql.ask import described, examples, summary

    path = served.folder.find(run).path
    return described(summary(path), examples(path))


def _intervened(served: Served, run: str, body: InterveneBody) -> dict[str, Any]:
    from circuits.intervene.what_if import Ways, hold_of, what_if

    graph = served.graph(run)
    wanted = [_asked(served, graph, text) for text in body.actions]
    hold_of(body.hold, None, 1)  # before a model is loaded
    session = served.session(run)
    ways = Ways(hold_of(body.hold, body.until, session.model.n_layers), body.each, body.generate)
    answer = what_if(session, [_carried(session, one, name) for one, name in wanted], ways)
    part = answer_part(answer, served.limits.rows)
    says = answer.question.removeprefix("What if ").removesuffix("?")
    return {**part, "says": says, "columns": part["tables"]["targets"]}


def _asked(served: Served, graph: Graph, text: str) -> tuple[Asked, str]:
    """Gives what one action asks for, and the name here of the run it swaps from.

    Raises:
        UsageError: it begins with no verb, or is not written as the verb wants it.
        NotFound: it names what is not there.
    """
    from circuits.intervene.written import Asked, Verb, asked, nodes_named

    verb, _, rest = text.strip().removeprefix("--").partition(" ")
    if verb not in get_args(Verb) or not rest.strip():
        verbs = get_args(Verb)
        raise UsageError(
            f"{text[:100]!r} is no action: begin with {', '.join(verbs[:-1])} or {verbs[-1]}, as in"
            " 'ablate Dallas'." + near_matches(verb, verbs)
        )
    if verb != "swap":
        return asked(graph, verb, rest.strip()), ""  # type: ignore[arg-type]  # one of the verbs
    names = served.folder.names()
    other = max(
        (name for name in names if rest == name or rest.startswith(f"{name}:")), key=len, default=None
    )
    if other is None:
        given = rest.partition(":")[0]
        raise NotFound(
            f"No run {given[:100]!r} here to swap from: the list of runs tells their names."
            + near_matches(given, names)
        )
    name = rest[len(other) + 1 :].strip()
    path = served.folder.find(other).path
    return Asked("swap", rest, name, nodes_named(graph, name) if name else None, run=path), other


def _carried(session: Session, one: Asked, other: str) -> Carried:
    """Gives an action ready to be done, its other run called by its name here."""
    from circuits.intervene.carry import carried

    done = carried(session, one)
    return replace(done, asked=replace(one, run=Path(other))) if other else done
