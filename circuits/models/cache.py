"""Converted GGUF files, kept as safetensors directories: reading GGUF takes ten times as long.

A conversion stands under the SHA-256 of its GGUF file, with the fingerprint the model must have and
the checksums of its small files. The weights need no checksum of their own: the fingerprint is
computed at every load anyway, and covers them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from circuits.errors import InvalidFile, WriteFailed
from circuits.files import atomic, cache_root, checksum
from circuits.models.pretrained import quiet

RECORD: Final = "circuits.json"
VERSION: Final = 1


def place(gguf: Path) -> Path:
    """Gives the directory where the conversion of a GGUF file stands, or would."""
    return cache_root() / "models" / f"{checksum(gguf)[:32]}-{VERSION}"


def save(directory: Path, module: Any, tokenizer: Any, fingerprint: str) -> None:
    """Gives a conversion its place; a damaged one standing there is replaced.

    Raises:
        WriteFailed: the disk refused; nothing was left behind.
    """
    with atomic(directory, directory=True, overwrite=True) as temporary:
        try:
            with quiet():
                module.save_pretrained(temporary)
        except SafetensorError as cause:  # how safetensors reports a full disk
            raise WriteFailed(f"Writing {directory} failed ({cause}): free some space.") from cause
        tokenizer.save_pretrained(temporary)
        files = {p.name: checksum(p) for p in sorted(temporary.iterdir()) if p.suffix != ".safetensors"}
        record = {"version": VERSION, "fingerprint": fingerprint, "files": files}
        (temporary / RECORD).write_text(json.dumps(record, indent=1))


def recorded_fingerprint(directory: Path) -> str:
    """Gives the fingerprint that the model kept in `directory` must have.

    Raises:
        InvalidFile: the record, or a file it lists, is missing or damaged.
    """
    try:
        record = json.loads((directory / RECORD).read_text())
        damaged = [name for name, known in record["files"].items() if checksum(directory / name) != known]
        fingerprint = str(record["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise InvalidFile(f"The cached conversion {directory} is incomplete: delete it.") from cause
    if damaged:
        raise InvalidFile(f"The cached conversion {directory} has a damaged {damaged[0]}: delete it.")
    return fingerprint
