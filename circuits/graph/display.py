"""How graphs and answers show themselves in a notebook.

What draws stands on a higher floor (`circuits.notebook`), which knows the graph; the graph may not know it.
But notebooks ask the object itself (`_repr_html_`), so the way up is found here, by name, at the moment
somebody asks. This file is the only one that does so.
"""

from __future__ import annotations

import importlib
from typing import Any


def in_notebook(what: str, *given: Any, **how: Any) -> Any:
    """Gives what `circuits.notebook` makes of something.

    Args:
        what: the name of a function there.
        *given: what it is given.
        **how: its options.
    """
    return getattr(importlib.import_module("circuits.notebook"), what)(*given, **how)
