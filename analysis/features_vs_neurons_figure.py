"""The figure: areas by concept, specificity by activation, what other concepts excite a unit, clamping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = dict[str, Any]

COLOURS: Final = ("#56B4E9", "#0072B2", "#003F7D", "#D55E00", "#999999", "#CC79A7", "#000000")
"""Okabe and Ito's, three blues for the dictionaries; markers differ too."""
MARKERS: Final = ("o", "s", "D", "^", "x", "+", "|")
SHOWN: Final = ("scripture", "DNA", "CAPITALS", "US state names")
"""Concepts whose specificity by activation is drawn."""


def figure(results: Row) -> Figure:
    """Gives the figure of everything that was compared."""
    drawn = Figure(figsize=(12, 14.5), layout="constrained")
    parts: Any = drawn.subfigures(4, 1, height_ratios=(5.2, 2.7, 5.6, 2.9))  # typed as if it were one
    top, middle, maps, bottom = parts
    _areas(top.subplots(1, 3, sharey=True), results)
    _specificity(middle.subplots(1, len(SHOWN), sharey=True), results)
    _matrices(maps, results)
    _doses(bottom.subplots(1, 2 * len(results["clamped"])), results["clamped"])
    return drawn


def styles(results: Row) -> dict[str, tuple[str, str]]:
    """Gives colour and marker of every competitor."""
    names = [*results["sizes"], "probe"]
    return {
        name: (colour, marker)
        for name, colour, marker in zip(names, _spread(COLOURS, names), _spread(MARKERS, names), strict=True)
    }


def _spread(values: tuple[str, ...], names: list[str]) -> list[str]:
    """Gives the first three values to the dictionaries in turn, the last to everything else."""
    dictionaries = len(names) - 4
    return [values[i % 3] for i in range(dictionaries)] + list(values[3:])


def _areas(axes: Any, results: Row) -> None:
    """Draws area, precision and recall at half of the maximum, of the best unit of every basis."""
    concepts = results["concepts"]
    places = np.arange(len(concepts))[::-1]
    style = styles(results)
    for number, (name, (colour, marker)) in enumerate(style.items()):
        shift = (len(style) / 2 - number - 0.5) * 0.11
        rows = [concept["units"][name] for concept in concepts.values()]
        for ax, key in zip(axes, ("auc", "precision", "recall"), strict=True):
            value, low, high = np.array([row[key] for row in rows], float).T
            ax.errorbar(
                value, places + shift, xerr=[np.maximum(value - low, 0), np.maximum(high - value, 0)],
                fmt=marker, color=colour, markersize=4.5, elinewidth=0.8, label=name,
            )  # fmt: skip
    titles = ("area under the ROC curve", "precision at half of the maximum", "recall at half of the maximum")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_xlim(0.3 if "area" in title else -0.03, 1.03)
        ax.axvline(0.0 if "recall" in title else 0.5, color="#cccccc", linewidth=0.8, zorder=0)
        for place in places[:-1]:
            ax.axhline(place - 0.5, color="#eeeeee", linewidth=0.8, zorder=0)
        ax.set_ylim(-0.6, len(places) - 0.4)
        _bare(ax)
    axes[0].set_yticks(places, list(concepts))
    axes[0].figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(style), frameon=False
    )


def _specificity(axes: Any, results: Row) -> None:
    """Draws the share of tokens on the concept against the activation."""
    style = styles(results)
    dictionaries = list(results["dictionaries"])
    for ax, name in zip(axes, SHOWN, strict=True):
        units = results["concepts"][name]["units"]
        for which in (dictionaries[0], dictionaries[-1], "neurons", "random directions"):
            colour, marker = style[which]
            bins = units[which]["bins"]
            x = [(i + 0.5) / len(bins) for i, share in enumerate(bins) if share is not None]
            y = [share for share in bins if share is not None]
            ax.plot(x, y, marker=marker, color=colour, markersize=4, linewidth=1.2, label=which)
        ax.axhline(0.5, color="#cccccc", linewidth=0.8, zorder=0)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("activation / its maximum on other documents", fontsize=8)
        ax.set_ylim(-0.03, 1.05)
        _bare(ax)
    axes[0].set_ylabel("share on concept\n(0.5 is chance)", fontsize=9)
    axes[-1].legend(frameon=False, fontsize=8, loc="lower right")


def _matrices(part: Any, results: Row) -> None:
    """Draws areas of each concept's unit on every concept, of a dictionary and of the neurons."""
    names = list(results["concepts"])
    dictionary = next(iter(results["dictionaries"]))
    axes = part.subplots(1, 2, sharey=True)
    image = None
    for ax, which in zip(axes, (dictionary, "neurons"), strict=True):
        values = np.array(results["matrix"][which])
        image = ax.imshow(values, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            shade = "white" if value < 0.55 else "black"
            ax.text(j, i, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=shade)
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        title = f"best features of {dictionary}" if which == dictionary else "best neurons"
        ax.set_title(f"{title} (rows), area on each concept (columns)", fontsize=10)
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    part.colorbar(image, ax=axes, shrink=0.8, label="area")


def _doses(axes: Any, clamped: Mapping[str, Row]) -> None:
    """Draws what clamping does: the probability of the concept's tokens, and the loss."""
    kinds = {
        "feature": ("#0072B2", "o"),
        "other features": ("#999999", "x"),
        "neuron": ("#D55E00", "^"),
        "mean difference": ("#000000", "|"),
    }
    for number, (topic, told) in enumerate(clamped.items()):
        mass, loss = axes[2 * number], axes[2 * number + 1]
        for kind, (colour, marker) in kinds.items():
            rows = [row for row in told["effect"] if row["of"] == kind]
            x = [row["dose"] for row in rows]
            line = {"marker": marker, "color": colour, "markersize": 5, "linewidth": 1.2, "label": kind}
            mass.plot(x, [row["mass"] for row in rows], **line)
            loss.plot(x, [row["loss"] for row in rows], **line)
            if kind == "other features":
                least, most = [r["least"] for r in rows], [r["most"] for r in rows]
                mass.fill_between(x, least, most, color=colour, alpha=0.25, linewidth=0)
        mass.set_title(f"{topic}: probability of its tokens", fontsize=10)
        loss.set_title(f"{topic}: loss on the neutral text", fontsize=10)
        loss.set_ylabel("nats a token", fontsize=8)
        for ax in (mass, loss):
            ax.set_xlabel("dose, in largest activations", fontsize=8)
            ax.set_ylim(bottom=0)
            _bare(ax)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")


def _bare(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
