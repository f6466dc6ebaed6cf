"""Finished units of `circuits interact`, kept beside the run until the whole is done.

::

    RUN.interact/
      3f5a…/                 one unit: a hash of the run, the method with its settings, the unit's key
        hyperedges.parquet   what it found
        loadings.parquet     where the method gives them
        unit.json            its key and its meta
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from circuits import __version__
from circuits.files import atomic

if TYPE_CHECKING:
    from circuits.engine.methods import Found

UNIT: Final = "unit.json"
HYPEREDGES: Final = "hyperedges.parquet"
LOADINGS: Final = "loadings.parquet"


@dataclass(frozen=True)
class Kept:
    """What units found, on disk.

    Attributes:
        path: the directory; made when the first unit is kept.
        run: what the run is: its checksums. Units of another run are never taken for this one's.
    """

    path: Path
    run: str

    @classmethod
    def beside(cls, out: Path, manifest: Mapping[str, Any]) -> Kept:
        """Gives the place beside an output for units of the run with this manifest."""
        sums = {name: manifest["checksums"].get(name) for name in ("nodes.parquet", "edges.parquet")}
        return cls(out.absolute().with_name(f"{out.absolute().name}.interact"), json.dumps(sums))

    def keep(self, key: str, found: Found) -> None:
        """Writes what a unit found, whole or not at all."""
        with atomic(self._place(key), directory=True, overwrite=True) as folder:
            found.hyperedges.write_parquet(folder / HYPEREDGES, compression="zstd")
            if found.loadings is not None:
                found.loadings.write_parquet(folder / LOADINGS, compression="zstd")
            (folder / UNIT).write_text(json.dumps({"key": key, "meta": dict(found.meta)}), encoding="utf-8")

    def load(self) -> dict[str, Found]:
        """Gives what units of this run found, by key; one that cannot be read counts as not done."""
        read = (self._read(file.parent) for file in sorted(self.path.glob(f"*/{UNIT}")))
        return dict(filter(None, read))

    def clear(self) -> None:
        """Removes all that was kept."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _read(self, place: Path) -> tuple[str, Found] | None:
        import polars as pl

        from circuits.engine.methods import Found
        from circuits.schema import HYPEREDGE_SCHEMA

        try:
            unit = json.loads((place / UNIT).read_text(encoding="utf-8"))
            table = pl.read_parquet(place / HYPEREDGES)
            loadings = pl.read_parquet(place / LOADINGS) if (place / LOADINGS).exists() else None
            key, meta = str(unit["key"]), dict(unit["meta"])
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
            return None
        if place != self._place(key) or table.schema != HYPEREDGE_SCHEMA:
            return None
        return key, Found(table, meta, loadings)

    def _place(self, key: str) -> Path:
        told = "\0".join((__version__, self.run, key))
        return self.path / hashlib.sha256(told.encode()).hexdigest()[:24]
