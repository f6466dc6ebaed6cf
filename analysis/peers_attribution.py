"""What does an attributed row cost in circuit-tracer, beside ours, on the same work?

Both compute rows of the same graph: SmolLM2-135M, 12 tokens, transcoders of 2,048 features a layer
(`scaling_traces.py`), some 15,480 active features, float32, one core. Ours is measured by
`scaling_rows.py` before and after, circuit-tracer's by `peers_circuit_tracer.py` in between; then the
edges of a sample of rows are compared, one by one. Writes `reports/peers_attribution.md` and `.json`.

circuit-tracer needs older versions of our dependencies, so it lives in an environment of its own::

    python -m venv PEER
    PEER/bin/pip install circuit-tracer==0.5.0 "nnsight<0.7" torch==2.13.0

    python analysis/peers_attribution.py --peer-python PEER/bin/python           # about 15 minutes, idle
    python analysis/peers_attribution.py --peer-python PEER/bin/python --quick   # 2 minutes, fewer rows
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scaling import REPORTS, machine, rows, run, traces  # type: ignore[import-not-found]

import circuits
from circuits.engine.edges import Edges, EdgeStore
from circuits.engine.nodes import NodeMap
from circuits.engine.plan import plan
from circuits.engine.rows import Engine
from circuits.trace import Trace
from circuits.trace_io import load_trace

HERE = Path(__file__).parent
Row = dict[str, Any]
FEATURES, TOKENS = 2048, 12
COMPARED = 96  # rows whose edges are compared
TOLERANCE = 1e-3  # of a row's largest edge; more than that is not rounding
PARTS = ("features", "errors", "tokens")


@dataclass(frozen=True)
class Study:
    """What is measured.

    Attributes:
        stride: rows of every so many-th layer; with 5 as with 15 these lie in the middle on average, as
            all layers do. It matters because a row of a high layer costs more.
        rows_per_layer: circuit-tracer's rows of each of these layers; ours are all of them.
        settings: circuit-tracer's backends and batch sizes.
    """

    stride: int = 5
    rows_per_layer: int = 256
    settings: tuple[tuple[str, int], ...] = (
        ("transformerlens", 8),
        ("transformerlens", 16),
        ("transformerlens", 32),
        ("transformerlens", 64),
        ("transformerlens", 256),
        ("nnsight", 16),
        ("nnsight", 64),
    )


QUICK = Study(
    15, 64, (("transformerlens", 8), ("transformerlens", 16), ("transformerlens", 64), ("nnsight", 16))
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="interpreter that has circuit-tracer")
    parser.add_argument("--quick", action="store_true", help="fewer rows and settings")
    parser.add_argument("--work", type=Path, help="where to keep traces between runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        results = measure(work, options.peer_python, QUICK if options.quick else Study())
    results["options"] = " --quick" if options.quick else ""
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "peers_attribution.json").write_text(json.dumps(results, indent=1) + "\n")
    (REPORTS / "peers_attribution.md").write_text(page(results))
    print(page(results))


def measure(work: Path, python: str, chosen: Study) -> Row:
    """Gives all measurements as one JSON-compatible record."""
    results: Row = {"machine": machine()}
    traces(work, FEATURES, (TOKENS,))
    export_model(work / "smollm2")
    place = work / f"trace-{FEATURES}-{TOKENS}.safetensors"
    trace = load_trace(place)
    cache = tempfile.mkdtemp(dir=work)
    results["ours before"] = rows(place, "--stride", str(chosen.stride), cache=cache)
    peers = [peer(work, python, trace, chosen, backend, batch) for backend, batch in chosen.settings]
    results["ours after"] = rows(place, "--stride", str(chosen.stride), cache=cache)
    results["machine"]["load_after"] = os.getloadavg()[0]
    targets = np.load(saved(work, *chosen.settings[0]))["targets"]
    ours = our_rows(trace, targets)
    for found in peers:
        theirs = np.load(saved(work, found["backend"], found["batch"]))
        check_features(trace, theirs)
        if not np.array_equal(theirs["targets"], targets):
            sys.exit("The settings of circuit-tracer were measured on different rows.")
        found["agreement"] = agreement(ours, theirs["rows"], trace)
        for part, kind in found["agreement"].items():
            if not kind["difference"] <= TOLERANCE:
                sys.exit(f"The edges from {part} differ by {kind['difference']:.1e}: not the same work.")
    results["circuit-tracer"] = peers
    results["versions"] = peers[0]["versions"] | {
        "circuits": circuits.__version__,
        "jax": importlib.metadata.version("jax"),
    }
    return results


def export_model(place: Path) -> None:
    """Writes SmolLM2 as a Hugging Face directory that circuit-tracer's older transformers reads too."""
    code = (
        "import sys; from circuits.models.load import load_model; m = load_model('smollm2');"
        "m.module.save_pretrained(sys.argv[1]); m.tokenizer.save_pretrained(sys.argv[1])"
    )
    run(["-c", code, str(place)])
    # transformers 4 looks for these two under their old names, and takes a wrong default for the first
    config = json.loads((place / "config.json").read_text())
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    (place / "config.json").write_text(json.dumps(config, indent=1))
    settings = json.loads((place / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (place / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def peer(work: Path, python: str, trace: Trace, chosen: Study, backend: str, batch: int) -> Row:
    """Gives one measurement of `peers_circuit_tracer.py`, whose sampled rows it leaves in a file."""
    print(f"circuit-tracer, {backend}, batches of {batch}", file=sys.stderr)
    request = work / "request.json"
    request.write_text(
        json.dumps(
            {
                "model": str(work / "smollm2"),
                "transcoders": str(work / f"transcoders-{FEATURES}"),
                "tokens": [int(i) for i in trace.prompt.ids],
                "backend": backend,
                "batch": batch,
                "layers": list(range(chosen.stride // 2, trace.n_layers, chosen.stride)),
                "rows_per_layer": chosen.rows_per_layer,
                "repeats": 3,
                "save": str(saved(work, backend, batch)),
                "saved_rows": COMPARED,
            }
        )
    )
    done = subprocess.run(
        [python, "-W", "ignore", str(HERE / "peers_circuit_tracer.py"), str(request)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"circuit-tracer with {backend}, batches of {batch}, failed: see above")
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def saved(work: Path, backend: str, batch: int) -> Path:
    """Gives the file of a measurement's sampled rows."""
    return work / f"peer-{backend}-{batch}.npz"


def check_features(trace: Trace, theirs: Row) -> None:
    """Stops unless both sides hold the same features, in the same order, equally active."""
    ours = np.stack([trace.features.layer, trace.features.position, trace.features.id])
    if not np.array_equal(ours, theirs["features"]):
        sys.exit(f"The active features differ: {ours.shape[1]} here, {theirs['features'].shape[1]} there.")
    if not np.allclose(trace.features.activation, theirs["activation"], rtol=1e-3, atol=1e-4):
        sys.exit("The activations of the features differ.")


def our_rows(trace: Trace, targets: np.ndarray) -> Row:
    """Gives our edges into some features, none left out, as dense rows by kind of source."""
    engine, features = Engine(trace), trace.features
    store = EdgeStore(trace, engine.where, engine.sources, Edges(tolerance=0))
    chunks = plan(features.layer[targets], features.position[targets], targets)
    for kept in engine.stream(chunks, store.keep):
        store.add(kept)
    source, target, weight, _ = store.columns()
    row = np.full(engine.where.size, -1)
    row[engine.where.feature[targets]] = np.arange(len(targets))
    dense = np.zeros((len(targets), engine.where.size))
    np.add.at(dense, (row[target], source), weight)
    return {part: dense[:, columns] for part, columns in our_columns(engine.where).items()}


def our_columns(where: NodeMap) -> dict[str, np.ndarray]:
    """Gives our node rows in the order of circuit-tracer's columns (which has no nodes for biases)."""
    return dict(zip(PARTS, (where.feature, where.error.ravel(), where.token), strict=True))


def agreement(ours: Row, theirs: np.ndarray, trace: Trace) -> Row:
    """Gives correlation, and largest difference in shares of its row's largest edge, by kind of source."""
    ends = np.cumsum([len(trace.features), trace.n_layers * trace.n_positions])
    found: Row = {}
    for part, there in zip(PARTS, np.split(theirs, ends, axis=1), strict=True):
        here = ours[part]
        largest = np.abs(there).max(1)
        some = largest > 0
        found[part] = {
            "edges": int((there != 0).sum()),
            "correlation": float(np.corrcoef(here.ravel(), there.ravel())[0, 1]),
            "difference": float((np.abs(here - there).max(1)[some] / largest[some]).max()),
        }
    return found


def page(results: Row) -> str:
    """Gives the measurements as Markdown."""
    host, peers = results["machine"], results["circuit-tracer"]
    sides = [results["ours before"], results["ours after"]]
    ours = statistics.mean(side["ms_per_row"] for side in sides)
    best = min(found["ms_per_row"] for found in peers)
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    setting = (
        f"`python analysis/peers_attribution.py{results['options']}` on {host['cpu']}, one of"
        f" {host['cores']} cores,"
        f" {host['date']}; load average {host['load_before']:.2f} before, {host['load_after']:.2f} after."
        f" SmolLM2-135M (30 layers, width 576), transcoders of {FEATURES:,} features a layer,"
        f" {TOKENS} tokens, {sides[0]['active']:,} active features, float32. Medians of 3, attribution only:"
        " no forward pass, no encoding, no compilation."
    )
    lines = ["# What a row costs: circuit-tracer and circuits", "", setting, ""]
    lines += ["| | batch | rows | ms per row | ÷ ours | matmul GFLOP/s beside it | peak GB |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines.append(line("circuits, before", sides[0], ours))
    lines += [line(f"circuit-tracer, {found['backend']}", found, ours) for found in peers]
    lines.append(line("circuits, after", sides[1], ours))
    lines += [
        "",
        f"At its fastest setting here circuit-tracer takes {best / ours:.1f}× our time per row.",
        "",
    ]
    lines += [
        "Both sides compute every edge into a target from features, errors and tokens. Our time includes",
        "choosing the edges that are kept, circuit-tracer's the copy into its dense matrix. circuit-tracer",
        "leaves out features and errors at the first token; for this comparison it is told not to, so that",
        "the work is the same.",
        "",
        f"The same edges, over {agreement_rows(peers)}:",
        "",
        "| from | edges compared | lowest correlation | largest difference ÷ largest edge of its row |",
        "|---|---|---|---|",
    ]
    for part in PARTS:
        kinds = [found["agreement"][part] for found in peers]
        low, high = min(k["correlation"] for k in kinds), max(k["difference"] for k in kinds)
        lines.append(f"| {part} | {kinds[0]['edges']:,} | {low:.9f} | {high:.1e} |")
    return "\n".join([*lines, "", f"Versions: {versions}, Python {host['python']}."]) + "\n"


def line(name: str, found: Row, ours: float) -> str:
    return (
        f"| {name} | {found.get('batch', 'its own')} | {found['rows']:,} | {found['ms_per_row']:.2f} |"
        f" {found['ms_per_row'] / ours:.1f} | {found['matmul_gflops']:.0f} | {found['peak_gb']:.2f} |"
    )


def agreement_rows(peers: list[Row]) -> str:
    return f"{COMPARED} sampled rows and {len(peers)} settings of circuit-tracer (the worst of them is shown)"


if __name__ == "__main__":
    main()
