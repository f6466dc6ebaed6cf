"""A folder of CSV tables, for Gephi's and Cytoscape's spreadsheets, R and everything else.

`nodes.csv` and `edges.csv` are the tables as they are, edges by the names of their ends; in `hyperedges.csv`
members are joined by a bar. Values that are null are empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from circuits.errors import OutputExists
from circuits.files import atomic
from circuits.graph.graph import Graph

FILES: Final = ("nodes.csv", "edges.csv", "hyperedges.csv")
BETWEEN: Final = "|"
"""What stands between members; node names hold none."""


def write_tables(
    graph: Graph, path: Path, *, plain: bool, overwrite: bool
) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
    """Gives how much was written and left out, and what to know of it; see `circuits.export_graph`.

    Args:
        graph: any graph.
        path: the folder to make.
        plain: without interactions.
        overwrite: replace a folder of such tables that stands there.

    Raises:
        OutputExists: something else stands there.
    """
    if overwrite and path.exists() and not is_export(path):
        raise OutputExists(f"{path} is no folder of such tables, so it is not replaced: choose another path.")
    text = pl.String()
    tables = {
        "nodes.csv": graph.nodes.cast({"kind": text, "gate": text}),
        "edges.csv": graph.edges.cast({"source": text, "target": text}),
    }
    if not plain:
        tables["hyperedges.csv"] = graph.hyperedges.with_columns(pl.col("members").list.join(BETWEEN))
    with atomic(path, directory=True, overwrite=overwrite) as temporary:
        for name, table in tables.items():
            table.write_csv(temporary / name)
    counts = {name.removesuffix(".csv"): len(table) for name, table in tables.items()}
    lost = {"hyperedges": len(graph.hyperedges) if plain else 0}
    lost |= {"head loadings": len(graph.heads), "verdicts": len(graph.verdicts)}
    return counts, {name: count for name, count in lost.items() if count}, ()


def is_export(path: Path) -> bool:
    """Tells whether a folder holds such tables and nothing else, or nothing."""
    return path.is_dir() and {place.name for place in path.iterdir()} <= set(FILES)
