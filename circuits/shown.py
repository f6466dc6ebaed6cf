"""Texts that come from a model or a file, as people may be shown them: nothing in them acts."""

from __future__ import annotations

import re
from typing import Final

NAMED: Final = {
    0x00AD: "SHY", 0x061C: "ALM", 0x200B: "ZWSP", 0x200E: "LRM", 0x200F: "RLM", 0x2028: "LS", 0x2029: "PS",
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2060: "WJ", 0x2066: "LRI",
    0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xFEFF: "BOM",
}  # fmt: skip

# Control, bidirectional and other characters without a shape of their own; joiners stay: scripts need them.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def shown(text: str, keep: str = "") -> str:
    """Gives a text with what has no shape, or would turn the text around it, made visible.

    Line breaks, tabs, terminal escapes, bidirectional overrides and the like become ⏎ ⇥ ␛ ⟨RLO⟩: the forms
    the viewer uses (`app/src/format.ts`). So no text of a run can colour a terminal, move its cursor, set
    its title, or make a line read backwards.

    Args:
        text: any text.
        keep: characters to leave, such as the line breaks of a whole page.

    Example:
        >>> shown("a" + chr(10) + chr(27) + "[31m" + chr(0x202E))
        'a⏎␛[31m⟨RLO⟩'
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _visible(found[0]), text)


def _visible(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "⏎"
    if character == "\t":
        return "⇥"
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨{NAMED.get(code) or f'U+{code:04X}'}⟩"
