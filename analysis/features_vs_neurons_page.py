"""The report: numbers into `features_vs_neurons.md.j2`, and the sentences that judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features_vs_neurons_causal import PROMPTS  # type: ignore[import-not-found]
from jinja2 import Environment, FileSystemLoader, StrictUndefined

Row = dict[str, Any]


def page(results: Row) -> str:
    """Gives the report as Markdown."""
    places = FileSystemLoader(Path(__file__).parent)
    # Markdown, not HTML: nothing is to be escaped
    templates = Environment(loader=places, undefined=StrictUndefined, autoescape=False)
    templates.filters |= {
        "interval": interval,
        "number": number,
        "precise": lambda value: f"{value:.3f}",
        "plain": plain,
        "by_dose": by_dose,
    }
    shown: str = templates.get_template("features_vs_neurons.md.j2").render(
        verdicts={name: verdict(results, name) for name in results["dictionaries"]},
        dense=listed(reaching(results)),
        contestants=[*results["dictionaries"], "neurons", "probe"],
        tests=len(results["concepts"]) * len(results["dictionaries"]),
        seconds=results["cpu seconds"],
        control=results["control tokens"],
        prompts=PROMPTS,
        **{key: results[key] for key in ("dictionaries", "concepts", "sizes", "purity", "clamped", "budget")},
    )
    return shown.rstrip() + "\n"


def verdict(results: Row, name: str) -> dict[str, str]:
    """Gives the concepts for which a dictionary's feature is better, worse, or not surely either."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "even": []}
    for concept, told in results["concepts"].items():
        over = told["units"][name]["over neuron"]
        sure = over["p, Holm"] < 0.05
        found["even" if not sure else "better" if over["difference"][0] > 0 else "worse"].append(concept)
    return {key: listed(concepts) for key, concepts in found.items()}


def reaching(results: Row) -> list[str]:
    """Gives, as "concept (dictionaries)", where a feature's pre-activation reaches the neuron's area."""
    found = []
    for concept, told in results["concepts"].items():
        neuron = told["units"]["neurons"]["auc"][0]
        names = [n for n in results["dictionaries"] if told["units"][n]["before top-k"] >= neuron]
        if names:
            found.append(f"{concept} ({', '.join(names)})")
    return found


def listed(names: Sequence[str]) -> str:
    """Gives names as a list in a sentence."""
    return ", ".join(names) if names else "none"


def interval(numbers: Sequence[float | None], *, sign: bool = False) -> str:
    """Gives a number with its interval, or "none" where nothing lies above half of the maximum."""
    if None in numbers:
        return "none"
    value, low, high = (f"{x:+.2f}" if sign else f"{x:.2f}" for x in numbers)
    return f"{value} [{low}, {high}]"


def number(value: float | None) -> str:
    """Gives two digits, or nothing where there is no number."""
    return "" if value is None else f"{value:.2f}"


def plain(text: str) -> str:
    """Gives a text as one line that Markdown leaves alone."""
    return " ".join(text.replace("`", "'").replace("|", "¦").split()) or " "


def by_dose(effect: Sequence[Row]) -> list[tuple[str, dict[str, Row]]]:
    """Gives the effects of each dose, by what was pushed."""
    doses = sorted({row["dose"] for row in effect})
    return [(f"{dose:g}", {row["of"]: row for row in effect if row["dose"] == dose}) for dose in doses]
