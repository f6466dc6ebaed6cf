"""The pages: the app, and the description of the API. Everything they load comes from here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import jinja2
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from circuits import __version__
from circuits.viewer import script, style

KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def install(app: FastAPI, *, token: bool) -> None:
    """Gives nothing; adds the pages to the app, and the files they need.

    Args:
        app: all of whose addresses are there already; they are what is described.
        token: whether a token is asked for.
    """

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return HTMLResponse(_template("app.html").render(version=__version__))

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        described = app.openapi()
        page = _template("docs.html").render(
            endpoints=endpoints(described), version=described["openapi"], token=token
        )
        return HTMLResponse(page)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        text = files().get(name)
        if text is None:
            return Response(status_code=404)
        mark = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
        headers = {"ETag": mark, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == mark:
            return Response(status_code=304, headers=headers)
        return Response(text, media_type=KINDS[name.rpartition(".")[2]], headers=headers)


@cache
def files() -> Mapping[str, str]:
    """Gives the files that pages load, by name."""
    own = {name: _own(name) for name in ("page.css", "icon.svg")}
    return {"viewer.js": script(), "viewer.css": style(), **own}


def endpoints(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gives an API's endpoints as the page tells of them.

    Args:
        described: the API in OpenAPI's form.
    """
    models = described.get("components", {}).get("schemas", {})
    return [
        _endpoint(path, method, one, models)
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    ]


def _endpoint(path: str, method: str, one: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    takes = [
        {
            "name": given["name"],
            "where": given["in"],
            "type": _kind(given["schema"]),
            "says": given.get("description") or given["schema"].get("description", ""),
        }
        for given in one.get("parameters", [])
    ]
    fields = _fields(body, models)
    takes += [{**field, "where": "body" if field["needed"] else "body, optional"} for field in fields]
    success: Mapping[str, Any] = next(
        (told for code, told in one["responses"].items() if code.startswith("2")), {}
    )
    gives = success.get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "anchor": f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""),
        "method": method.upper(),
        "path": path,
        "summary": one.get("summary", ""),
        "description": one.get("description", ""),
        "takes": takes,
        "gives": _fields(gives, models),
        "model": _kind(gives) if gives else "",
        "example": _example(path, method, fields),
    }


def _fields(schema: Mapping[str, Any], models: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = schema.get("items", schema) if schema.get("type") == "array" else schema
    model = models.get(str(schema.get("$ref", "")).rpartition("/")[2], {})
    return [
        {
            "name": name,
            "type": _kind(told),
            "says": told.get("description", ""),
            "needed": name in model.get("required", []),
        }
        for name, told in model.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    """Gives a type in words: `list of string`, `number or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(part) for part in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"object of {_kind(values)}" if isinstance(values, Mapping) and values else "object"
    return str(schema.get("type", "any"))


EXAMPLES: Final = {
    "question": '"why"',
    "query": '"FROM nodes ORDER BY influence DESC LIMIT 5"',
    "actions": '["ablate Dallas"]',
    "prompt": '"The capital of the state containing Dallas is"',
}
"""What is sent in the examples, where something must be."""


def _example(path: str, method: str, fields: list[dict[str, Any]]) -> str:
    address = (
        f"http://localhost:8000{path}".replace("{run}", "dallas")
        .replace("{table}", "nodes")
        .replace("{job}", "ID")
    )
    words = ["curl", *(["-X", method.upper()] if method != "get" else [])]
    if method == "post":
        body = ", ".join(
            f'"{field["name"]}": {EXAMPLES[field["name"]]}' for field in fields if field["needed"]
        )
        words += ["-H 'Content-Type: application/json'", f"-d '{{{body}}}'"]
    return " ".join([*words, address])


@cache
def _template(name: str) -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_own(name))


def _own(name: str) -> str:
    return resources.files("circuits.server").joinpath("static", name).read_text(encoding="utf-8")
