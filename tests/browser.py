"""A headless Chromium for tests of pages: the network shut, every request and error noted."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@functools.cache
def chromium() -> str | None:
    """Where the browser is, or None."""
    found = (shutil.which(name) for name in NAMES)
    return os.environ.get("CIRCUITS_CHROMIUM") or next((path for path in found if path), None)


needs_chromium = pytest.mark.skipif(
    chromium() is None and not os.environ.get("CI"), reason="no Chromium here: apt-get install chromium"
)
"""In CI the tests run, and fail, where the browser is missing."""


@dataclass
class Seen:
    """What a page did besides showing itself."""

    requests: list[str] = field(default_factory=list)  # beyond the page's own file or server
    errors: list[str] = field(default_factory=list)  # uncaught ones, and console errors


@contextmanager
def opened(where: Path | str, **context: Any) -> Iterator[tuple[Page, Seen]]:
    """Opens a file, or a page of a server on this machine, with all else of the network blocked.

    Args:
        where: a file, or an address.
        **context: options of Playwright's browser context: `viewport`, `color_scheme`, `forced_colors`, …
    """
    address = where if isinstance(where, str) else where.resolve().as_uri()
    origin = "/".join(address.split("/")[:3]) if address.startswith("http") else None
    seen = Seen()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-quic"])
        try:
            page = browser.new_context(**context).new_page()

            def route(request: Any) -> None:
                url = request.request.url
                if (
                    url == address
                    or url.startswith(("data:", "blob:"))
                    or (origin and url.startswith(origin))
                ):
                    request.continue_()
                else:
                    seen.requests.append(url)
                    request.abort()

            page.route("**/*", route)
            page.on("pageerror", lambda error: seen.errors.append(str(error)))
            page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
            page.goto(address)
            yield page, seen
        finally:
            browser.close()


def accessibility(page: Page) -> list[str]:
    """Serious and critical findings of axe-core, a line each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['help']} ({[n['target'] for n in one['nodes'][:3]]})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
