"""The database of a run: its tables, views and macros in one DuckDB file, made once and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from circuits.errors import MissingPackage
from circuits.files import atomic, cache_root
from circuits.graph.graph import Graph
from circuits.graph.influence import inflow
from circuits.graph.io import MANIFEST, load_manifest, load_run
from circuits.query.sql.tables import NAME_TYPE, TABLES, statements

if TYPE_CHECKING:
    import duckdb

KEPT: Final = 4_000_000_000
"""Bytes of databases the cache keeps; the longest unused go first."""

_NAMED: Final = {"nodes": ("node",), "edges": ("source", "target")}
"""Columns that hold node names alone, kept as an ENUM."""

_of_graphs: weakref.WeakKeyDictionary[Graph, Path] = weakref.WeakKeyDictionary()


def engine() -> Any:
    """Gives the module `duckdb`.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import duckdb
    except ImportError as cause:
        raise MissingPackage(
            "Queries in SQL need DuckDB and sqlglot: pip install 'clearbox-circuits[sql]'."
        ) from cause
    return duckdb


def database(of: Graph | str | Path) -> Path:
    """Gives the path of the DuckDB file of a run or graph, making it unless it is there.

    A run's file is kept in the cache under its checksums, so a run that changed gets another; that of a
    graph in memory is deleted with the graph.

    Args:
        of: a run directory, or a graph.

    Raises:
        MissingPackage: DuckDB is not installed.
        NotFound: nothing stands at the path.
        InvalidFile: what stands there is no run.
        WriteFailed: the cache cannot be written.
    """
    engine()
    if isinstance(of, Graph):
        if of not in _of_graphs:
            place = Path(tempfile.mkdtemp(prefix="circuits-sql-"))
            weakref.finalize(of, shutil.rmtree, place, ignore_errors=True)
            write(of, place / "run.duckdb")
            _of_graphs[of] = place / "run.duckdb"
        return _of_graphs[of]
    path = cached(of)
    if path.exists():
        with contextlib.suppress(OSError):
            path.touch()  # the cache forgets what was not used for long
    else:
        with atomic(path, overwrite=True) as temporary:
            write(load_run(of), temporary)
        _forget(path)
    return path


def cached(run: str | Path) -> Path:
    """Gives where the database of a run is kept, whether or not it is there yet."""
    where = Path(run)
    load_manifest(where)  # its format and version are checked
    parts = ((where / MANIFEST).read_bytes(), engine().__version__.encode(), "\n".join(statements()).encode())
    name = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    return cache_root() / "sql" / f"{name[:32]}.duckdb"


def write(graph: Graph, path: Path) -> None:
    """Gives nothing; writes a graph's tables, views and macros as a DuckDB file.

    Args:
        graph: any graph.
        path: of a file that does not exist yet.
    """
    duckdb = engine()
    with contextlib.closing(duckdb.connect(str(path))) as made:
        made.execute("SET preserve_insertion_order = true")
        made.register("incoming", _Stream(graph.nodes.select("node")))
        made.execute(f"CREATE TYPE {NAME_TYPE} AS ENUM (SELECT node FROM incoming)")  # noqa: S608
        made.unregister("incoming")
        for name, frame in _frames(graph).items():
            _insert(made, name, frame)
        for statement in statements():
            made.execute(statement)
        made.execute("CHECKPOINT")


def _frames(graph: Graph) -> Mapping[str, pl.DataFrame]:
    prompt = graph.meta.get("prompt") or {}
    words = [str(token) for token in prompt.get("tokens") or ()]
    tokens = {"pos": pl.Series(range(len(words)), dtype=pl.Int32), "token": pl.Series(words, dtype=pl.String)}
    return {
        "nodes": graph.nodes.with_columns(pl.Series("inflow", inflow(graph))),
        "edges": graph.edges,
        "hyperedges": graph.hyperedges,
        "heads": graph.heads,
        "verdicts": graph.verdicts,
        "tokens": pl.DataFrame(tokens),
    }


def _insert(made: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> None:
    named = _NAMED.get(name, ())
    texts = [c for c, kind in frame.schema.items() if isinstance(kind, pl.Enum) and c not in named]
    made.register(
        "incoming", _Stream(frame.select(*TABLES[name].columns).cast(dict.fromkeys(texts, pl.String)))
    )
    columns = ", ".join(
        f'"{c}"::{NAME_TYPE} AS "{c}"' if c in named else f'"{c}"' for c in TABLES[name].columns
    )
    made.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")  # noqa: S608 - our own names
    made.unregister("incoming")


class _Stream:
    """A frame as DuckDB reads it without pyarrow: an Arrow stream and nothing else."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


def _forget(newest: Path) -> None:
    """Deletes the longest unused databases until the rest fits into `KEPT` bytes."""
    room = KEPT
    with contextlib.suppress(OSError):  # another process may be tidying too
        files = [(file.stat(), file) for file in newest.parent.glob("*.duckdb")]
        for stat, file in sorted(files, key=lambda pair: -pair[0].st_mtime):
            room -= stat.st_size
            if room < 0 and file != newest:
                file.unlink(missing_ok=True)
