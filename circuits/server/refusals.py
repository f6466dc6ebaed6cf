"""Whatever goes wrong, as one sentence of JSON with the right status."""

from __future__ import annotations

import os
import traceback
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from circuits import errors
from circuits.cli.main import explain
from circuits.server.folder import Folder

STATUS: Final[dict[type[errors.CircuitsError], int]] = {
    errors.UsageError: 400,
    errors.MissingPackage: 501,
    errors.NotFound: 404,
    errors.InvalidFile: 422,
    errors.UnsupportedModel: 422,
    errors.Incompatible: 409,
    errors.OutputExists: 409,
    errors.WriteFailed: 403,
    errors.CircuitsError: 400,
}
"""By the kind of error, the special before the general."""

SAYS: Final = {
    404: ("NotFound", "There is nothing at this address: /docs lists what there is."),
    405: ("UsageError", "This address does not know that method: /docs tells which it does."),
}


class Refused(Exception):
    """A request that is refused before, or beside, what it asks for.

    Args:
        status: of HTTP.
        message: one sentence: what is wrong, what to do.
        retry: seconds after which it is worth trying again.
    """

    def __init__(self, status: int, message: str, *, retry: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry = retry


def told(status: int, kind: str, message: str, *, retry: int | None = None) -> JSONResponse:
    """Gives a refusal as JSON: what is wrong and what to do, and the kind of error."""
    headers = {} if retry is None else {"Retry-After": str(retry)}
    return JSONResponse({"error": message, "kind": kind}, status, headers)


def status_of(error: errors.CircuitsError) -> int:
    """Gives the HTTP status of an error."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def install(app: FastAPI, folder: Folder) -> None:
    """Gives nothing; makes the app tell all that goes wrong as JSON, never as a traceback."""

    async def expected(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.CircuitsError)
        return told(status_of(error), type(error).__name__, folder.shown(str(error)))

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return told(error.status, "Refused", error.message, retry=error.retry)

    async def malformed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return told(422, "UsageError", _validation(error.errors()))

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kind, message = SAYS.get(error.status_code, ("UsageError", str(error.detail)))
        return told(error.status_code, kind, message)

    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        if os.environ.get("CIRCUITS_DEBUG"):
            traceback.print_exception(error)
        failure = explain(error)
        return told(500, failure.kind, folder.shown(failure.message))

    app.add_exception_handler(errors.CircuitsError, expected)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def _validation(problems: Any) -> str:
    """Gives all that is wrong with a request in one sentence."""
    parts = []
    for problem in list(problems)[:5]:
        at = ".".join(str(part) for part in problem["loc"] if part not in ("body", "query", "path"))
        said = str(problem["msg"])
        parts.append(f"{at}: {said[:1].lower()}{said[1:]}" if at else said)
    return f"The request cannot be read: {'; '.join(parts)}. /docs tells what it takes."
