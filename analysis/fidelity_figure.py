"""The figure: every measure against noise, a line a method."""

from __future__ import annotations

from typing import Any, Final

from fidelity_page import MEASURES, OURS, chosen, methods  # type: ignore[import-not-found]
from matplotlib.figure import Figure

Row = dict[str, Any]

COLOURS: Final = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
"""Okabe and Ito's; markers differ too."""
MARKERS: Final = ("x", "s", "^", "v", "D", "P", "o")


def figure(results: Row) -> Figure:
    """Gives the figure of all measures."""
    drawn = Figure(figsize=(12, 6), layout="constrained")
    axes: Any = drawn.subplots(2, 4)
    noises = results["noises"]
    for ax, (name, measure) in zip(axes.flat, MEASURES.items(), strict=False):
        for method, colour, marker in zip(methods(results), COLOURS, MARKERS, strict=True):
            rows = [
                chosen(results, method=method, noise=noise, distractors=results["distractors"])
                for noise in noises
            ]
            values = [measure(part) for part in rows]
            if None in values:
                continue
            ours = method == OURS
            ax.plot(
                range(len(noises)), values, marker=marker, color=colour, label=method,
                linewidth=2.4 if ours else 1.2, markersize=6 if ours else 5, zorder=3 if ours else 2,
                alpha=1 if ours else 0.85,
            )  # fmt: skip
        ax.set_title(f"{name}, per additive model" if name == "false interactions" else name, fontsize=10)
        ax.set_xticks(range(len(noises)), [f"{noise:g}" for noise in noises], fontsize=8)
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        if name == "false interactions":
            ax.set_ylim(bottom=-0.05)
        else:
            ax.axhline(1, color="#cccccc", linewidth=0.8, zorder=0)
            ax.set_ylim(-0.15, 1.05)
        ax.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
    for ax in axes[-1]:
        ax.set_xlabel("noise", fontsize=9)
    last = axes.flat[-1]
    last.axis("off")
    last.legend(*axes.flat[0].get_legend_handles_labels(), loc="center", frameon=False, fontsize=10)
    return drawn
