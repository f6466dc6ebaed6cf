r"""What does a dictionary up to 100 times the width cost, and what is it worth after equal CPU time?

Two questions, one run, one thread, CPU seconds; peers in environments of their own, beside ours:

- **speed**: a training step on random tokens (width 256, top-32, 4,096 tokens a step) at 8, 32 and 100
  times the width, against the float32 product of tokens and encoder alone;
- **quality**: the held-out variance unexplained that each leaves after the same CPU seconds, on the stream
  of the bundled model (width 192), top-32; dense, routed (a token searches one group of features), grown
  (8 times the width for half of the time, then split), and the peers.

CORPUS is what `data/build_corpus.py` makes. Writes `reports/dictionary_scaling.{md,json,svg}`::

    python analysis/dictionary_scaling.py CORPUS --peer-python sae_lens=A/bin/python \
        --peer-python dictionary_learning=B/bin/python --peer-python sparsify=B/bin/python   # 11 minutes
    python analysis/dictionary_scaling.py CORPUS --quick                                     # 2 minutes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from dictionary_scaling_ours import GROUP, SMALL, Mode, quality, speed  # type: ignore[import-not-found]
from scaling import REPORTS, machine  # type: ignore[import-not-found]

from circuits.models.load import load_model
from circuits.models.sites import Place
from circuits.training.activations import Activations
from circuits.training.coder import Scaling
from circuits.training.tokens import load_sequences

HERE = Path(__file__).parent
PLACE: Place = (1, "block_out")
EXPANSIONS = (8, 32, 100)
STYLES: dict[str, dict[str, str]] = {  # of Okabe and Ito's colours
    "dense": {"marker": "o", "color": "#0072B2"},
    "routed": {"marker": "s", "color": "#D55E00"},
    "grown": {"marker": "D", "color": "#009E73"},
    "dense, bfloat16": {"marker": "^", "color": "#56B4E9"},
}
Row = dict[str, Any]
FULL: Row = {"width": 256, "k": 32, "batch": 4096, "repeats": 5, "seconds": 40, "tokens": 400_000}
QUICK: Row = {**FULL, "repeats": 1, "seconds": 4, "tokens": 60_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="directory with train.npz and held_out.npz")
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, tokens and seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = QUICK if options.quick else FULL
    results: Row = {"machine": machine(), "asked": asked, "options": " --quick" if options.quick else ""}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        data, held = activations(options.corpus, work, asked)
        results["width"], results["held_out"] = data.shape[1], len(held)
        modes = [Mode(name, e) for name in ("dense", "routed") for e in EXPANSIONS]
        results["speed"] = [speed(mode, asked) for mode in (*modes, Mode("dense, bfloat16", EXPANSIONS[-1]))]
        results["quality"] = [
            quality(mode, data, held, asked) for mode in (*modes, Mode("grown", EXPANSIONS[-1]))
        ]
        results["peers"] = [peer(one, work, asked, data.shape[1]) for one in options.peer_python]
    results["machine"]["load_after"] = os.getloadavg()[0]
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "dictionary_scaling.json").write_text(json.dumps(results, indent=1) + "\n")
    (REPORTS / "dictionary_scaling.md").write_text(page(results))
    draw(results, REPORTS / "dictionary_scaling.svg")
    print(page(results))


def activations(corpus: Path, work: Path, asked: Row) -> tuple[torch.Tensor, torch.Tensor]:
    """Gives what passes in the bundled model, scaled as the trainer does; leaves it for the peers."""
    model = load_model("toy")
    parts = []
    for name, count in (("train", asked["tokens"]), ("held_out", 16_384)):
        sequences = load_sequences(corpus / f"{name}.npz", model, 128)
        source = Activations(model, sequences, (PLACE,), batch=count, seed=0)
        parts.append(source.at(0)[PLACE].clone())
    scaling = Scaling.of(parts[0])
    data, held = (scaling.apply(part) for part in parts)
    np.save(work / "train.npy", data.numpy())
    np.save(work / "held_out.npy", held.numpy())
    return data, held


def peer(one: str, work: Path, asked: Row, width: int) -> Row:
    """Gives one peer's measurements, made in its own environment."""
    name, _, python = one.partition("=")
    print(f"{name} ...", file=sys.stderr)
    most = EXPANSIONS[-1]
    request = {**asked, "features": most * asked["width"], "learn_features": most * width}
    request |= {"repeats": min(3, asked["repeats"])}
    request |= {key: str(work / f"{key}.npy") for key in ("train", "held_out")}
    (work / "request.json").write_text(json.dumps(request))
    script = str(HERE / "dictionary_scaling_peers.py")
    done = subprocess.run(
        [python, "-W", "ignore", script, name, str(work / "request.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{name} failed: see above.")
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def page(results: Row) -> str:
    """Gives the measurements as Markdown."""
    host = results["machine"]
    setting = (
        f"`python analysis/dictionary_scaling.py CORPUS{results['options']}` on {host['cpu']}, one thread of"
        f" {host['cores']} cores, {host['date']}; load average {host['load_before']:.2f} before,"
        f" {host['load_after']:.2f} after. torch {torch.__version__}. CPU seconds."
    )
    lines = [
        "# Dictionaries up to 100 times the width",
        "",
        setting,
        "",
        "![Tokens a second and variance unexplained against expansion](dictionary_scaling.svg)",
        "",
        *_speed_lines(results),
        "",
        *_quality_lines(results),
    ]
    return "\n".join(lines) + "\n"


def _speed_lines(results: Row) -> list[str]:
    asked, most = results["asked"], EXPANSIONS[-1]
    fast = {(row["mode"], row["expansion"]): row for row in results["speed"]}
    dense, routed = fast["dense", most], fast["routed", most]
    slower = fast["routed", EXPANSIONS[0]]["tokens_per_core_second"] / routed["tokens_per_core_second"]
    steps = (
        f"Width {asked['width']}, top-{asked['k']}, {asked['batch']:,} random tokens a step, medians of"
        f" {asked['repeats']} (peers {min(3, asked['repeats'])}). The limit is the float32 product of tokens"
        " and encoder alone."
    )
    lines = [
        "## A step's speed",
        "",
        steps,
        "",
        "| | expansion | tokens per core-second | share of limit | ours dense ÷ this |",
        "|---|---|---|---|---|",
    ]
    for row in results["speed"]:
        same = fast["dense", row["expansion"]]["tokens_per_core_second"]
        share = f"{row['share_of_limit']:.0%}" if "share_of_limit" in row else ""
        lines.append(_line(row["mode"], row["expansion"], row["tokens_per_core_second"], share, same))
    for row in results["peers"]:
        share = f"{row['tokens_per_core_second'] / dense['limit']:.0%}"
        name = f"{row['name']} {row['version']}"
        lines.append(_line(name, most, row["tokens_per_core_second"], share, dense["tokens_per_core_second"]))
    last = f"Routed, {most} times the width takes {slower:.2f}× as long a token as {EXPANSIONS[0]} times."
    return [*lines, "", last]


def _quality_lines(results: Row) -> list[str]:
    asked, most = results["asked"], EXPANSIONS[-1]
    good = {(row["mode"], row["expansion"]): row for row in results["quality"]}
    left = (
        f"Stream after block {PLACE[0]} of the bundled model, width {results['width']}, top-{asked['k']},"
        f" {asked['batch']:,} tokens a step; Σ|x - x̂|² / Σ|x - mean|² over {results['held_out']:,} tokens of"
        " held-out text. Peers with their own defaults and without warm-up."
    )
    router = (
        f"Routed: groups of {GROUP} times the width, of which a token searches one. What is saved and"
        " published is the routed dictionary itself; only our own layout can say it. Read as a plain top-k"
        " over all its features, as another library would, the one of"
        f" {most} times the width leaves {good['routed', most]['fvu_without_router']:.3g}: the router is part"
        " of it."
    )
    own = [(r["mode"], r["expansion"], r) for r in results["quality"]]
    return [
        f"## What is left unexplained after {asked['seconds']} CPU seconds",
        "",
        left,
        "",
        "| | expansion | FVU | tokens seen |",
        "|---|---|---|---|",
        *(
            f"| {name} | {times} | {r['fvu']:.4f} | {r['tokens']:,} |"
            for name, times, r in (*own, *((r["name"], most, r) for r in results["peers"]))
        ),
        "",
        _verdict(good["grown", most]["fvu"], good["dense", most]["fvu"], good),
        "",
        router,
    ]


def _line(name: str, expansion: int, rate: float, share: str, dense: float) -> str:
    return f"| {name} | {expansion} | {rate:,.0f} | {share} | {dense / rate:.2f} |"


def _verdict(grown: float, scratch: float, good: dict[tuple[str, int], Row]) -> str:
    """Says whether growing pays, and which of all is best at this time."""
    most = EXPANSIONS[-1]
    pays = "less" if grown < scratch else "not less"
    (name, expansion), best = min(good.items(), key=lambda item: float(item[1]["fvu"]))
    return (
        f"Begun with {SMALL} times the width and grown to {most} at half of the time, a dictionary leaves"
        f" {pays} than one of {most} times from the start ({grown:.4f} against {scratch:.4f}). Least of all"
        f" at this time leaves {name}, {expansion} times the width ({best['fvu']:.4f})."
    )


def draw(results: Row, path: Path) -> None:
    """Draws both measurements against expansion."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for axis, rows, key in (
        (left, results["speed"], "tokens_per_core_second"),
        (right, results["quality"], "fvu"),
    ):
        for name in dict.fromkeys(row["mode"] for row in rows):
            own = [row for row in rows if row["mode"] == name]
            axis.plot([r["expansion"] for r in own], [r[key] for r in own], label=name, **STYLES[name])
        for row, marker in zip(results["peers"], "xP*", strict=False):
            style = {"marker": marker, "color": "#555555", "linestyle": "none"}
            axis.plot([EXPANSIONS[-1]], [row[key]], label=row["name"], **style)
        axis.set(xscale="log", yscale="log", xlabel="features ÷ width")
        axis.set_xticks(EXPANSIONS, [str(e) for e in EXPANSIONS])
    limits = [row for row in results["speed"] if row["mode"] == "dense"]
    left.plot(
        [r["expansion"] for r in limits], [r["limit"] for r in limits], ":", color="grey", label="limit"
    )
    left.set_title("tokens per core-second")
    right.set_title(f"held-out variance unexplained, {results['asked']['seconds']} CPU seconds")
    left.legend(fontsize=7)
    right.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
