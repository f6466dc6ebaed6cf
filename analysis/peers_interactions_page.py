"""The page and the figure of `peers_interactions.py`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

Row = dict[str, Any]
NAMES = {
    "old": "shapiq {shapiq}, spectralexplain {spectralexplain}",
    "new": "shapiq {shapiq}",
    "ours": "circuits",
}
OURS = ("with its gates", "black box")
FLOOR = 1e-3  # errors are drawn no lower
COLOURS = {"old": "#E69F00", "new": "#56B4E9", "ours": "#0072B2"}  # of Okabe and Ito's


def page(results: Row) -> str:
    """Gives the measurements as Markdown."""
    host = results["machine"]
    setting = (
        f"`python analysis/peers_interactions.py …{results['options']}` on {host['cpu']}, one thread of"
        f" {host['cores']} cores, {host['date']}; load average {host['load_before']:.2f} before,"
        f" {host['load_after']:.2f} after. CPU seconds, compilation left out. A peer's estimators are stopped"
        f" after {results['limit']:g} s. Peers: {'; '.join(_names(results).values())}"
        + ("." if "new" in results["versions"] else "; no newer shapiq, which needs Python 3.12.")
    )
    lines = ["# Interactions, beside shapiq and spectralexplain", "", setting, ""]
    lines += ["![Error of all pairs against evaluations, and against time](peers_interactions.svg)", ""]
    for part in (_exact, _gates, _outputs, _attention):
        lines += [*part(results), ""]
    return "\n".join(lines).rstrip() + "\n"


def _names(results: Row) -> dict[str, str]:
    return {peer: NAMES[peer].format(**versions) for peer, versions in results["versions"].items()}


def _exact(results: Row) -> list[str]:
    lines = [
        "## 1. Exact, 16 players",
        "",
        f"All SII from one table of 65,536 worths (normal numbers), medians of {results['repeats']}.",
        "",
        "| orders | | theirs | ours | ratio | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    names = _names(results)
    return lines + [
        f"| 1 to {r['order']} | `ExactComputer` of {names[r['peer']].split(',')[0]} | {r['theirs']:.2f} |"
        f" {r['ours'] * 1e3:.1f} ms | {r['ratio']:,.0f}× | {r['difference']:.0e} |"
        for r in results["exact"]
    ]


def _gates(results: Row) -> list[str]:
    rows = results["gates"]["rows"]
    lines = [
        "## 2. All pairs of one gate",
        "",
        "v(S) = z where z = b + Σ c_i passes the threshold, else 0: heavy-tailed signed contributions",
        "(whole multiples of a step that no side is told), the kink among usual coalitions, midway between",
        "two sums. Truth: coalitions counted by size and sum. Error: L2 over all pairs of SII, relative.",
        "Peers have 8,000 evaluations.",
        "",
        "| gate | | error | CPU s | lower error than the best | less CPU than it |",
        "|---|---|---|---|---|---|",
    ]
    for game in dict.fromkeys(r["game"] for r in rows):
        here = [r for r in rows if r["game"] == game]
        peers = sorted((r for r in here if r["peer"] != "ours" and "error" in r), key=lambda r: r["error"])
        kind, n, _ = game.split("-")
        lines += [
            f"| {kind}, {n} inputs | **circuits**, {r['estimator']} | {r['error']:.1e} |"
            f" {r['seconds']:.4f} | {peers[0]['error'] / r['error']:,.0f}× |"
            f" {peers[0]['seconds'] / r['seconds']:,.0f}× |"
            for r in here
            if r["peer"] == "ours" and peers
        ]
        lines += [f"| | {r['estimator']} | {r['error']:.2f} | {r['seconds']:.2f} | | |" for r in peers]
        failed = [r for r in here if "failed" in r]
        lines += [f"| | {r['estimator']} | {_reason(r)} | {r['seconds']:.0f} | | |" for r in failed]
    lines.append("")
    for r in results["gates"]["many"]:
        what = f"{r['gates']:,} {r['kind']} gates of 128 inputs, {r['waves']} waves and {r['nodes']} nodes"
        each = f"{r['seconds']:.2f} s, {r['seconds'] / r['gates'] * 1e3:.2f} ms a gate"
        lines += [f"{what}, all pairs: {each}, relative error {r['error']:.0e} (the largest of three).", ""]
    return lines[:-1]


def _reason(row: Row) -> str:
    return str(row["failed"]).split(":")[0]


def _outputs(results: Row) -> list[str]:
    rows = results["outputs"]
    games, budgets = list(dict.fromkeys(r["game"] for r in rows)), sorted({r["budget"] for r in rows})
    seeds = len({r["seed"] for r in rows})
    drawn = "one seed" if seeds == 1 else f"{seeds} seeds"
    lines = [
        "## 3. All pairs of an output",
        "",
        f"{len(games)} games ({', '.join(games)}), {drawn} each: networks of (Jump)ReLU gates over",
        "tokens, and the most influential nodes of graphs of the bundled model; the worth is the logit.",
        "Truth: all coalitions. Error: L2 over all pairs of SII, relative, the median over games and seeds.",
        "Peers and our *black box* see worths only: these are the lines to compare. *With its gates* also",
        "sees the pre-activations of the gates between, from the same evaluations. In a graph they are sums",
        "of what comes before: where all are seen, a few hundred evaluations tell the whole network.",
        "",
        "| | " + " | ".join(f"{b:,} evaluations" for b in budgets) + " | CPU s at the last |",
        "|---|" + "---|" * (len(budgets) + 1),
    ]
    for peer, estimator in dict.fromkeys((r["peer"], r["estimator"]) for r in rows):
        own = [r for r in rows if (r["peer"], r["estimator"]) == (peer, estimator)]
        name = f"**circuits, {estimator}**" if peer == "ours" else estimator
        some = "" if len({r["game"] for r in own}) == len(games) else " (first game only)"
        cells = [_cell([r for r in own if r["budget"] == b]) for b in budgets]
        most = max(r["budget"] for r in own)
        last = statistics.median(r["seconds"] for r in own if r["budget"] == most)
        lines.append(f"| {name}{some} | {' | '.join(cells)} | {last:.2f} |")
    lines += ["", *_ratios(results, budgets)]
    return lines


def _cell(rows: list[Row]) -> str:
    errors = [r["error"] for r in rows if "error" in r]
    return f"{statistics.median(errors):.3f}" if errors else _reason(rows[0]) if rows else "–"


def _ratios(results: Row, budgets: Iterable[int]) -> list[str]:
    """Gives our error ÷ that of the best peer of the same game and seed, the median over both."""
    lines = [
        "Our error ÷ that of whichever peer did best on the same game, budget and seed; median (largest):",
        "",
        "| | best of | " + " | ".join(f"{b:,}" for b in budgets) + " |",
        "|---|---|" + "---|" * len(list(budgets)),
    ]
    old: Callable[[Row], bool] = lambda r: r["peer"] == "old"  # noqa: E731
    groups: list[tuple[str, Callable[[Row], bool]]] = [(_names(results)["old"], old)]
    if "new" in results["versions"]:
        groups.append(("all, shapiq of Python 3.12 included", lambda r: r["peer"] != "ours"))
    for name, among in groups:
        for estimator in OURS:
            cells = []
            for budget in budgets:
                found = ratios(results["outputs"], estimator, budget, among)
                cells.append(f"{statistics.median(found):.2f} ({max(found):.2f})")
            lines.append(f"| {estimator} | {name} | {' | '.join(cells)} |")
    return lines


def ratios(rows: list[Row], estimator: str, budget: int, among: Callable[[Row], bool]) -> list[float]:
    """Gives the ratio for every game and seed."""
    best: dict[tuple[str, int], float] = {}
    for r in rows:
        if r["budget"] == budget and "error" in r and among(r):
            key = (r["game"], r["seed"])
            best[key] = min(best.get(key, float("inf")), r["error"])
    return [
        r["error"] / best[r["game"], r["seed"]]
        for r in rows
        if r["peer"] == "ours" and r["estimator"] == estimator and r["budget"] == budget
    ]


def _attention(results: Row) -> list[str]:
    lines = [
        "## 4. The 100 strongest query and key features",
        "",
        "|u_a · w_b| of all pairs, d = 64: all products and a selection, against norm-sorted tiles with",
        "a Cauchy–Schwarz stop.",
        "",
        "| | size | all products | ours | ratio | same pairs | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {r['name']} | {r['shape'][0]:,} × {r['shape'][1]:,} | {r['dense'] * 1e3:.0f} ms |"
        f" {r['ours'] * 1e3:.2f} ms | {r['dense'] / r['ours']:.0f}× | {'yes' if r['same'] else '**no**'} |"
        f" {r['difference']:.0e} |"
        for r in results["attention"]
    ]


def _spread(ends: dict[str, float], apart: float = 1.25) -> dict[str, float]:
    """Gives where the names of lines stand: at their ends, moved up where two would overlap (log scale)."""
    places: dict[str, float] = {}
    lowest = 0.0
    for label, end in sorted(ends.items(), key=lambda item: item[1]):
        places[label] = max(end, lowest)
        lowest = places[label] * apart
    return places


def draw(results: Row, path: Path) -> None:
    """Draws error against evaluations (outputs) and error against time (gates)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    rows = results["outputs"]
    budgets, ends = sorted({r["budget"] for r in rows}), dict[str, float]()
    for peer, estimator in dict.fromkeys((r["peer"], r["estimator"]) for r in rows):
        own = [r for r in rows if (r["peer"], r["estimator"]) == (peer, estimator) and "error" in r]
        if len({r["game"] for r in own}) < len({r["game"] for r in rows}):
            continue
        errors = [statistics.median(r["error"] for r in own if r["budget"] == b) for b in budgets]
        errors = [max(error, FLOOR) for error in errors]
        label = f"circuits, {estimator}" if peer == "ours" else estimator
        style = {"linewidth": 2.5} if peer == "ours" else {"linewidth": 1, "alpha": 0.8}
        dash = "--" if estimator == "black box" else "-"
        left.plot(budgets, errors, dash, marker="o", markersize=4, color=COLOURS[peer], **style)
        ends[label] = errors[-1]
    for label, height in _spread(ends).items():
        left.annotate(
            label, (budgets[-1], height), (5, 0), textcoords="offset points", fontsize=6, va="center"
        )
    left.set(xscale="log", yscale="log", xlabel="evaluations", xlim=(budgets[0] * 0.9, budgets[-1] * 5))
    left.set_xticks(budgets, [f"{b:,}" for b in budgets])
    left.set_title(f"outputs: error of all pairs, {FLOOR:g} where it is less", fontsize=9)
    for peer, name in {"ours": "circuits", **_names(results)}.items():
        found = [r for r in results["gates"]["rows"] if r["peer"] == peer and "error" in r]
        at = [r["seconds"] for r in found], [r["error"] for r in found]
        right.scatter(*at, color=COLOURS[peer], label=name, s=18)
    right.set(xscale="log", yscale="log", xlabel="CPU seconds")
    right.set_title("one gate of 64 or 128 inputs: error of all pairs", fontsize=9)
    right.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
