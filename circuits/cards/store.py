"""Cards on disk: one Parquet file beside the dictionary, refused where it is another dictionary's.

`cards.parquet` holds one row a feature (`circuits.cards.record.CARD_SCHEMA`), compressed with zstd. Its
metadata entry `circuits` is a JSON object: `format` ("cards"), `version` (1), `model` and `dictionary`
with their fingerprints, `text`, `settings`, `limits`, `tested` (what the numbers of a label mean),
`token_ids` and `token_texts` (the tokens that occur in any card), `nothing` (the id that stands for no
token in a context).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import polars as pl

from circuits.bundled import TOY_DICTIONARIES, bundled
from circuits.cards.record import CARD_SCHEMA, Cards
from circuits.cards.settings import TESTED
from circuits.errors import CircuitsError, Incompatible, InvalidFile, NotFound, UsageError
from circuits.files import atomic, cache_root

NAME: Final = "cards.parquet"
VERSION: Final = 1


def cards_path(spec: str) -> Path:
    """Gives where the cards of a dictionary lie: in its directory, or beside its file.

    Those of a dictionary on the hub lie in the user's cache.

    Raises:
        UsageError: neurons have no files.
    """
    if spec == "neurons":
        raise UsageError(
            "Neurons have no files that cards could lie beside: name a file, with --out where cards are made"
            " and with --cards where they are read."
        )
    if spec in TOY_DICTIONARIES:
        return bundled(f"toy/{TOY_DICTIONARIES[spec]}") / NAME
    place = spec.partition("?")[0]
    if place.startswith(("hf:", "sae-lens:")):
        return cache_root() / "cards" / re.sub(r"[^\w.-]+", "_", place) / NAME
    path = Path(place).expanduser()
    return path / NAME if path.is_dir() else path.with_name(f"{path.name}.{NAME}")


def save_cards(cards: Cards, path: Path, *, overwrite: bool = False) -> None:
    """Writes cards, whole or not at all.

    Raises:
        OutputExists, WriteFailed: as `circuits.files.atomic`.
    """
    header = {"format": "cards", "version": VERSION, **cards.meta}
    with atomic(path, overwrite=overwrite) as temporary:
        cards.table.write_parquet(
            temporary,
            compression="zstd",
            compression_level=19,
            metadata={"circuits": json.dumps(header, ensure_ascii=False)},
        )


def load_cards(path: Path, *, fingerprint: str | None = None) -> Cards:
    """Gives the cards of a file.

    Args:
        path: the file.
        fingerprint: of the dictionary they must be of; any unless given.

    Raises:
        NotFound: there is no such file.
        InvalidFile: it is damaged, of another version, or no file of cards.
        Incompatible: the cards are another dictionary's.
    """
    if not path.is_file():
        raise NotFound(f"No cards at {path}: `circuits describe` makes them.")
    try:
        header = json.loads(pl.read_parquet_metadata(path).get("circuits", "null"))
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as cause:
        raise InvalidFile(f"{path} is no whole file of cards: {cause}.") from cause
    _check(path, header, table)
    made_for = str(header["dictionary"]["fingerprint"])
    if fingerprint is not None and made_for != fingerprint:
        raise Incompatible(
            f"{path} holds cards of another dictionary (fingerprint {made_for[:12]}, not {fingerprint[:12]}):"
            " make them again with `circuits describe`."
        )
    return Cards(table, header)


def _check(path: Path, header: Any, table: pl.DataFrame) -> None:
    if not isinstance(header, dict) or header.get("format") != "cards":
        raise InvalidFile(f"{path} holds no cards: make them with `circuits describe`.")
    if header.get("version") != VERSION:
        raise InvalidFile(f"{path} has version {header.get('version')}, this package reads {VERSION}.")
    needed = ("model", "dictionary", "text", "settings", "limits", "token_ids", "token_texts", "nothing")
    missing = [name for name in needed if name not in header]
    missing += [name for name in CARD_SCHEMA if name not in table.columns]
    if missing:
        raise InvalidFile(f"{path} lacks {', '.join(missing)}: make it again with `circuits describe`.")
    wrong = [name for name, kind in CARD_SCHEMA.items() if table.schema[name] != kind]
    if wrong:
        raise InvalidFile(f"{path} holds {', '.join(wrong)} as something else: make it again.")


def find_cards(spec: str, fingerprint: str) -> Cards | None:
    """Gives a dictionary's cards if it has any that are its own; says nothing where there are none.

    Raises:
        InvalidFile: the file beside it is damaged.
        Incompatible: the file beside it is another dictionary's.
    """
    try:
        path = cards_path(spec)
    except CircuitsError:
        return None
    return load_cards(path, fingerprint=fingerprint) if path.is_file() else None


def told(cards: Cards, labelled: int, distinct: int) -> str:
    """Gives a sentence on how the labels of a graph came about.

    Args:
        cards: where tested labels are from.
        labelled: features of the graph with a tested label.
        distinct: its features.
    """
    text = cards.meta["text"]
    return (
        f"{labelled:,} of {distinct:,} features bear a label tested on held-out text: {TESTED}. Published"
        f" where {cards.meta['limits']['text']}; chosen on {text['choosing']:,} tokens, tested on"
        f" {text['testing']:,}. Labels with → and quotes are provisional: the tokens a feature promotes"
        " directly (logit lens)"
    )
