"""The built viewer: files under `static/`, made from `app/` by its build script; users never need Node."""

from __future__ import annotations

from importlib import resources


def script() -> str:
    """Gives the viewer's script, an ES module that starts by itself where a page holds its document."""
    return _read("viewer.js")


def style() -> str:
    """Gives the viewer's style sheet; every rule is below `.circuits-viewer`."""
    return _read("viewer.css")


def third_party() -> str:
    """Gives the licences of the libraries inside the script."""
    return _read("THIRD_PARTY.txt")


def _read(name: str) -> str:
    return resources.files("circuits.viewer").joinpath("static", name).read_text(encoding="utf-8")
