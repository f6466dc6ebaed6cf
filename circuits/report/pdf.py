"""A report on paper: the page printed through a Chromium found on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from circuits.errors import CircuitsError, MissingPackage, WriteFailed

VARIABLE: Final = "CIRCUITS_CHROMIUM"
NAMES: Final = (
    *("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"),
    *("microsoft-edge-stable", "microsoft-edge", "msedge", "brave-browser"),
)
PLACES: Final = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
SECONDS: Final = 120
"""How long printing may take."""

FLAGS: Final = (
    *("--headless", "--disable-gpu", "--disable-extensions", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-sync", "--disable-component-update"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--no-pdf-header-footer", "--generate-pdf-document-outline"),
)
"""No network, no traces, no lines of the browser's own on the sheets."""


def chromium(environ: Mapping[str, str] | None = None) -> str:
    """Gives the browser: what CIRCUITS_CHROMIUM names, else the first of the usual ones.

    Raises:
        MissingPackage: there is none; what to install is said.
    """
    named = (os.environ if environ is None else environ).get(VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise MissingPackage(f"{VARIABLE} names {named}, which is no program: set it to a Chromium.")
        return found
    found = next((path for path in (*map(shutil.which, NAMES), *map(shutil.which, PLACES)) if path), None)
    if found is None:
        raise MissingPackage(
            "A PDF is printed through Chromium, Chrome or Edge, and none is on this machine: install one"
            f" (apt-get install chromium), name it in {VARIABLE}, or print the .html report from any browser."
        )
    return found


def printed(page: str, path: Path, *, browser: str | None = None, seconds: float = SECONDS) -> None:
    """Writes a page as a PDF file.

    Args:
        page: HTML that loads nothing and needs no script.
        path: where to; the caller sees to its being written whole.
        browser: the Chromium; looked for unless given.
        seconds: how long it may take.

    Raises:
        MissingPackage: there is no Chromium.
        CircuitsError: it failed, or took too long.
        WriteFailed: the disk refused.
    """
    program = browser or chromium()
    try:
        with tempfile.TemporaryDirectory(prefix="circuits-pdf-", ignore_cleanup_errors=True) as place:
            source, made = Path(place) / "report.html", Path(place) / "report.pdf"
            source.write_text(page, encoding="utf-8")
            _run(program, source, made, seconds)
            shutil.copyfile(made, path)
    except OSError as cause:
        raise WriteFailed(f"Printing {path.name} failed: {cause.strerror or cause}.") from cause


def _run(program: str, source: Path, made: Path, seconds: float) -> None:
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses to run as root
    command = [
        program,
        *FLAGS,
        *(["--no-sandbox"] if root else []),
        f"--user-data-dir={source.parent / 'profile'}",
        f"--print-to-pdf={made}",
        source.as_uri(),
    ]
    try:
        done = subprocess.run(  # noqa: S603  # a browser, and files of our own
            command, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as cause:
        raise CircuitsError(
            f"{program} took more than {seconds:g} s to print: print the .html report from a browser instead."
        ) from cause
    if done.returncode or not made.is_file() or not made.read_bytes().startswith(b"%PDF"):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f": {said[-1][:300]}" if said else "."
        raise CircuitsError(f"{program} printed nothing (exit code {done.returncode}){why}")
