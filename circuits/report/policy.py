"""What a page may do: run the scripts written into it, and load nothing, whatever its texts say."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from markupsafe import Markup


def script_tag(code: str, *, module: bool = False) -> tuple[Markup, str]:
    """Gives a `<script>` element of our own code, and the hash by which the policy knows it.

    What could end the element, or open a comment in it, is written in escapes: both occur only inside
    strings of JavaScript.
    """
    inside = code.replace("</script", "<\\/script").replace("<!--", "\\x3c!--")
    inside = f"\n{inside.strip()}\n"
    digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    kind = ' type="module"' if module else ""
    return Markup(f"<script{kind}>{inside}</script>"), f"'sha256-{digest}'"  # noqa: S704  # our own code


def policy(hashes: Sequence[str]) -> str:
    """Gives a Content-Security-Policy: these scripts run, styles of the page hold, nothing is loaded."""
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        f" script-src {' '.join(hashes) or chr(39) + 'none' + chr(39)}"
    )
