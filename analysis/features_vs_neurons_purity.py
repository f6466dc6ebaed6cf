"""The other way round: of a typical unit, chosen for nothing, are its strongest tokens of one kind?

Of every unit the strongest tokens are taken, and the share of one kind of text among them, and of one token.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from features_vs_neurons_basis import Basis  # type: ignore[import-not-found]
from features_vs_neurons_concepts import Tokens  # type: ignore[import-not-found]
from jaxtyping import Float, Int

STRONGEST: Final = 20
PURE: Final = 0.9
EACH: Final = 900
KINDS: Final = {
    "scripture": "scripture",
    "literature": "literature",
    "god in literature": "literature",
    "genetics prose": "definitions",
    "god in definitions and quotations": "definitions",
    "DNA": "DNA",
    "code": "code",
    "documentation prose": "documentation",
    "arithmetic": "arithmetic",
    "Arabic": "Arabic",
    "base64": "base64",
    "hex": "hexadecimal",
    "geography": "geography",
}
"""Groups of natural text, and the kind of text each is."""


def purity(basis: Basis, tokens: Tokens) -> dict[str, Any]:
    """Gives how pure the units of a basis are: shares of all its units, and medians.

    A unit is pure if 90% of its 20 strongest tokens are of one kind of text, or are the same token. Every
    kind of text has the same number of tokens. Units on at fewer than 20 tokens count as silent.
    """
    rows, kind = balanced(tokens)
    kinds, same, silent = [], [], 0
    values = basis.at(rows).tocsc()
    for sign in (1, -1) if basis.signed else (1,):
        for unit in range(values.shape[1]):
            part = slice(values.indptr[unit], values.indptr[unit + 1])
            strength, where = sign * values.data[part], values.indices[part]
            if (strength > 0).sum() < STRONGEST:
                silent += 1
                continue
            strongest = where[np.argsort(-strength, kind="stable")[:STRONGEST]]
            kinds.append(largest_share(kind[strongest]))
            same.append(largest_share(tokens.id[rows[strongest]]))
    by_kind, by_token = np.array(kinds), np.array(same)
    pure = (by_kind >= PURE) | (by_token >= PURE)
    return {
        "basis": basis.name,
        "units": basis.size,
        "silent": round(silent / basis.size, 4),
        "pure": round(float(pure.mean()), 4),
        "pure in kind": round(float((by_kind >= PURE).mean()), 4),
        "pure in token": round(float((by_token >= PURE).mean()), 4),
        "median share of one kind": round(float(np.median(by_kind)), 4),
        "median share of one token": round(float(np.median(by_token)), 4),
    }


def balanced(tokens: Tokens) -> tuple[Int[np.ndarray, "n"], np.ndarray]:
    """Gives the places of EACH tokens of every kind of natural text, and their kinds."""
    dice = np.random.default_rng(2)
    kind = np.array([KINDS.get(group, "") for group in tokens.group])
    places = [dice.permutation(np.flatnonzero(kind == name))[:EACH] for name in sorted(set(KINDS.values()))]
    rows = np.sort(np.concatenate(places))
    return rows, kind[rows]


def largest_share(values: np.ndarray | Float[np.ndarray, "n"]) -> float:
    """Gives the share of the commonest value.

    Example:
        >>> largest_share(np.array(["a", "b", "a", "a"]))
        0.75
    """
    return float(np.unique(values, return_counts=True)[1].max() / len(values))
