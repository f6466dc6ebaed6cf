"""What does a row cost, and how does that grow with features, tokens and layers?

Runs every measurement in a process of its own (so that memory and compilation are its own), on SmolLM2
with random transcoders (`scaling_traces.py`), and writes `reports/scaling.md`, `.json` and `.svg`::

    python analysis/scaling.py                # about 15 minutes on two idle cores
    python analysis/scaling.py --quick        # the 12-token rows only

"One core" pins the process to one; a row's cost includes keeping its edges on the host.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

HERE = Path(__file__).parent
REPORTS = HERE.parent / "reports"
Row = dict[str, Any]

IOI = "When Mary and John went to the store, John gave a drink to"
FEATURES, TOKENS, LAYERS = (512, 1024, 2048, 4096), (6, 12, 24, 32, 64), (2, 8, 15, 22, 29)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the 12-token rows, on one core and two")
    parser.add_argument("--work", type=Path, help="where to keep traces between runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results = measure(work, quick=options.quick)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "scaling.json").write_text(json.dumps(results, indent=1) + "\n")
    (REPORTS / "scaling.md").write_text(page(results))
    if not options.quick:
        figure(results).savefig(REPORTS / "scaling.svg", metadata={"Date": None})
    print(page(results))


def measure(work: Path, *, quick: bool) -> Row:
    """Gives all measurements as one JSON-compatible record."""
    traces(work, FEATURES[2], (12,) if quick else TOKENS)
    main_trace = work / "trace-2048-12.safetensors"
    cold = tempfile.mkdtemp(dir=work)
    results: Row = {"machine": machine()}
    results["one core"] = rows(main_trace, cache=cold)
    results["one core, second process"] = rows(main_trace, "--stride", "10", cache=cold)
    results["two cores"] = rows(main_trace, "--cores", "2", cache=cold)
    if quick:
        return results
    results["32 tokens"] = rows(work / "trace-2048-32.safetensors", "--stride", "3", cache=cold)
    for features in FEATURES:
        traces(work, features, (12,))
    results["features"] = [
        rows(work / f"trace-{f}-12.safetensors", "--stride", "5", cache=cold) | {"features": f}
        for f in FEATURES
    ]
    results["tokens"] = [
        rows(work / f"trace-2048-{n}.safetensors", "--stride", "10", cache=cold) for n in TOKENS
    ]
    results["layers"] = [rows(main_trace, "--layer", str(at), cache=cold) | {"layer": at} for at in LAYERS]
    results["neuron graph"] = whole_graph(work, IOI, 4000)
    results["neuron graph, 1,000 rows"] = whole_graph(work, IOI, 1000)
    results["512 tokens"] = whole_graph(work, long_prompt(), 256)
    return results


def traces(work: Path, features: int, tokens: tuple[int, ...]) -> None:
    run(
        [
            str(HERE / "scaling_traces.py"),
            str(work),
            "--features",
            str(features),
            "--tokens",
            *map(str, tokens),
        ]
    )


def rows(trace: Path, *options: str, cache: str) -> Row:
    """Gives one measurement of `scaling_rows.py`."""
    print(f"rows of {trace.name} {shlex.join(options)}", file=sys.stderr)
    single = "--cores" not in options
    command = [str(HERE / "scaling_rows.py"), str(trace), *options]
    found: Row = json.loads(
        run(command, CIRCUITS_CACHE=cache, **({"OMP_NUM_THREADS": "1"} if single else {}))
    )
    return found


def whole_graph(work: Path, prompt: str, features: int) -> Row:
    """Gives wall seconds and peak memory of `circuits attribute`, from the shell to the files."""
    print(f"whole graph, {features} features", file=sys.stderr)
    where = work / f"run-{features}"
    command = ["-m", "circuits", "attribute", prompt, "--model", "smollm2", "--dictionary", "neurons"]
    command += ["--max-features", str(features), "-o", str(where), "--overwrite", "--quiet", "--json"]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # this process's own peak, not that of all so far
    if status:
        sys.exit(f"circuits attribute failed with status {os.waitstatus_to_exitcode(status)}")
    manifest = json.loads((where / "manifest.json").read_text())
    meta = manifest["meta"]
    return {
        "seconds": time.perf_counter() - start,
        "peak_gb": usage.ru_maxrss / 1e6,
        "tokens": len(meta["prompt"]["tokens"]),
        "features": features,
        "timings": meta["timings"],
        "completeness_residual": meta["completeness_residual"],
        "rows_refined": meta["rows_refined"],
    }


def long_prompt() -> str:
    """Gives a text of 512 SmolLM2 tokens: the start of the licence."""
    code = (
        "import sys; from circuits.models.load import load_model; m = load_model('smollm2');"
        "print(m.tokenizer.decode(m.encode(open(sys.argv[1]).read())[:512]), end='')"
    )
    return run(["-c", code, str(HERE.parent / "LICENSE")])


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{shlex.join(command[:3])} failed with exit code {done.returncode}")
    return done.stdout


def machine() -> Row:
    """Gives what the numbers were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def page(results: Row) -> str:
    """Gives the measurements as Markdown."""
    host, one, two = results["machine"], results["one core"], results["two cores"]
    setting = (
        f"`python analysis/scaling.py` on {host['cpu']}, {host['cores']} cores, {host['date']}; load average"
        f" {host['load_before']:.2f} at the start. SmolLM2-135M (30 layers, width 576), transcoders of 2,048"
        f" features a layer, 12 tokens, {one['active']:,} active features, float32. Medians of 3; the time"
        " of a row includes choosing and keeping its edges on the host; the share of the matmul rate is that"
        " of computing alone."
    )
    lines = [
        "# What a row costs",
        "",
        setting,
        "",
        "| rows | ms per row | computing alone | MFLOP per row | share of matmul rate | edges | peak GB |",
        "|---|---|---|---|---|---|---|",
        row_line("12 tokens, one core", one),
        row_line("12 tokens, two cores", two),
    ]
    if "32 tokens" in results:
        lines.append(row_line("32 tokens, one core (every 3rd layer)", results["32 tokens"]))
    speedup = one["ms_per_row"] / two["ms_per_row"]
    again = results["one core, second process"]
    cores = (
        f"Two cores make {speedup:.2f}× the rows per second of one. The matmul rate beside them in the same"
        f" process: {one['matmul_gflops']:.0f} GFLOP/s on one core. Compilation, apart from these times:"
        f" {one['compile_seconds']:.1f} s in the first process, {again['compile_seconds']:.2f} s in the next"
        " (persistent cache)."
    )
    lines += ["", cores]
    if "features" in results:
        lines += ["", "![row cost against features, tokens and layers](scaling.svg)", ""]
        lines += growth("features per layer", results["features"], "features")
        lines += growth("tokens", results["tokens"], "tokens")
        lines += growth("layer of the rows", results["layers"], "layer")
        lines += whole_lines(results)
    return "\n".join(lines) + "\n"


def row_line(name: str, row: Row) -> str:
    return (
        f"| {name} | {row['ms_per_row']:.2f} | {row['ms_per_row_computed']:.2f} |"
        f" {row['mflop_per_row']:.0f} | {row['share_of_matmul']:.0%} |"
        f" {row['edges_per_row']:.0f} | {row['peak_gb']:.2f} |"
    )


def growth(title: str, measured: list[Row], key: str) -> list[str]:
    head = [
        f"| {title} | active features | ms per row | share of matmul rate | peak GB |",
        "|---|---|---|---|---|",
    ]
    return [
        *head,
        *(
            f"| {row[key]} | {row['active']:,} | {row['ms_per_row']:.2f} | {row['share_of_matmul']:.0%} |"
            f" {row['peak_gb']:.2f} |"
            for row in measured
        ),
        "",
    ]


def whole_lines(results: Row) -> list[str]:
    lines = [
        "Whole graphs with the neuron dictionary, from the shell to the files, two cores:",
        "",
        "| tokens | rows | seconds | peak GB | completeness residual |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {g['tokens']} | {g['features']:,} | {g['seconds']:.1f} | {g['peak_gb']:.2f} |"
        f" {g['completeness_residual']:.1e} |"
        for g in (results[name] for name in ("neuron graph, 1,000 rows", "neuron graph", "512 tokens"))
    ]


def figure(results: Row) -> Figure:
    """Gives ms per row against features, tokens and layers, beside the time at the full matmul rate."""
    drawn = Figure(figsize=(10, 3.2), layout="constrained")
    axes = drawn.subplots(1, 3)
    panels = (
        ("features", "features per layer", results["features"]),
        ("tokens", "tokens", results["tokens"]),
        ("layer", "layer of the target", results["layers"]),
    )
    for ax, (key, label, measured) in zip(axes, panels, strict=True):
        x = [row[key] for row in measured]
        limit = [row["mflop_per_row"] / row["matmul_gflops"] for row in measured]
        ax.plot(x, [row["ms_per_row"] for row in measured], "o-", color="#0072B2", label="measured")
        ax.plot(x, limit, "s--", color="#999999", label="the same FLOPs at the matmul rate")
        ax.set_xlabel(label)
        ax.set_ylim(bottom=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("ms per row, one core")
    axes[0].legend(frameon=False, fontsize=8)
    return drawn


if __name__ == "__main__":
    main()
