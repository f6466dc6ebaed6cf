"""The figure: predicted against measured, then faithfulness and completeness by size, a basis a column."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from faithfulness_measures import curves, tests  # type: ignore[import-not-found]
from faithfulness_rankings import RANKINGS  # type: ignore[import-not-found]
from matplotlib.figure import Figure

Row = dict[str, Any]

COLOURS: Final = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#999999")
"""Okabe and Ito's; markers differ too."""
MARKERS: Final = ("o", "s", "^", "D", "x")


def figure(results: Row) -> Figure:
    """Gives the figure; off is 0 in the curves."""
    bases = results["bases"]
    drawn = Figure(figsize=(4.2 * len(bases), 10.5), layout="constrained")
    axes: Any = drawn.subplots(3, len(bases), squeeze=False)
    for column, base in enumerate(bases):
        name = "SmolLM2" if base["model"] == "smollm2" else base["model"]
        axes[0, column].set_title(f"{name}, {base['dictionary']}", fontsize=11)
        _scatter(axes[0, column], base)
        for row, part in ((1, "faithful"), (2, "left")):
            _curves(axes[row, column], base, results["shares"], part)
    axes[0, 0].set_ylabel("measured, model free (share of largest)", fontsize=9)
    axes[1, 0].set_ylabel("faithfulness f(C), median", fontsize=9)
    axes[2, 0].set_ylabel("completeness f(M∖C), median", fontsize=9)
    axes[0, 0].legend(fontsize=8, frameon=False, loc="upper left")
    axes[1, 0].legend(fontsize=8, frameon=False, loc="upper left")
    return drawn


def _scatter(ax: Any, base: Row) -> None:
    """Draws effects as shares of the prompt's largest predicted one, so that prompts share an axis."""
    largest = [np.abs(rows[:, 2]).max(initial=1e-9) for rows in tests(base, 1)]
    for order, colour, marker, label in ((1, "#0072B2", "o", "one off"), (2, "#D55E00", "^", "pair, beyond")):
        points = np.concatenate(
            [rows[:, [2, 4]] / size for rows, size in zip(tests(base, order), largest, strict=True)]
        )
        ax.scatter(
            *points.T,
            s=7,
            alpha=0.35,
            color=colour,
            marker=marker,
            label=label,
            linewidths=0,
            rasterized=True,
        )
    ax.plot([-1.2, 1.2], [-1.2, 1.2], color="#999999", linewidth=0.8, zorder=0)
    ax.set_xlim(-1.25, 1.25)
    ax.set_ylim(-1.6, 1.6)
    ax.set_xlabel("predicted by the graph (share of largest)", fontsize=9)
    _bare(ax)


def _curves(ax: Any, base: Row, shares: list[float], part: str) -> None:
    at = np.array(shares[1:])
    for ranking, colour, marker in zip(RANKINGS, COLOURS, MARKERS, strict=True):
        lines = np.array([c[part] for c in curves(base, "zero", ranking, "magnitude")])[:, 1:]
        ours = ranking in ("effect", "influence")
        ax.plot(
            at, np.nanmedian(lines, axis=0), color=colour, marker=marker, label=ranking,
            linewidth=2.2 if ours else 1.2, markersize=5,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.axhline(1, color="#cccccc", linewidth=0.8, zorder=0)
    ax.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
    ax.set_ylim(-0.8, 1.6)
    ax.set_xlabel("share of the run's features in C", fontsize=9)
    _bare(ax)


def _bare(ax: Any) -> None:
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
