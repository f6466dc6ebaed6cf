"""`circuits info`: what a path holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

from circuits.bundled import TOY
from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, size, stack
from circuits.cli.exchange import source_name
from circuits.cli.paths import is_run
from circuits.cli.progress import Teller, telling
from circuits.errors import InvalidFile, NotFound, near_matches

Row = tuple[str, str] | tuple[str, str, str]


@dataclass(frozen=True)
class Found:
    """What a path is: one line, facts for people, the same as a document."""

    title: str
    rows: list[Row]
    document: dict[str, Any]
    command: str | None = None


def info(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A run, a trace file, a model, or a dictionary.")
    ],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell what a run, trace file, model or dictionary is: sizes, versions, fingerprints, scores."""
    output = Output(json, quiet)
    with telling(output) as tell:
        found = _look(path, tell)
    made = Group(heading("Made by"), commands([(found.command, "")])) if found.command else None
    output.result(stack(heading(found.title), facts(found.rows), made), found.document)


def _look(name: str, tell: Teller) -> Found:
    path = _path(name)
    if path.is_file() and path.suffix.lower() not in (".gguf", ".safetensors"):
        return _dictionary(name)
    if path.is_file():
        return _model(name, tell) if path.suffix.lower() == ".gguf" else _trace(path)
    if path.is_dir():
        if is_run(path):
            return _run(path)
        return _model(name, tell) if _is_model(path) else _dictionary(name)
    # a hub name looks like a mistyped path: where the folder exists, a path was meant
    if name not in ("smollm2", TOY) and (path.is_absolute() or path.parent.is_dir()):
        beside = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound(f"There is nothing at {name}." + near_matches(str(path), beside))
    return _model(name, tell)


def _path(name: str) -> Path:
    """Gives the path of what was named; a dictionary's may be followed by hints."""
    path = Path(name).expanduser()
    return path if path.exists() else Path(name.partition("?")[0]).expanduser()


def _is_model(path: Path) -> bool:
    """Tells whether a directory is a Hugging Face model: dictionaries have a config.json too."""
    try:
        return "model_type" in json.loads((path / "config.json").read_text())
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # what is wrong with it is for the model's loader to say


def _run(path: Path) -> Found:
    from circuits.cli.attribute import explained, score_facts, size_facts
    from circuits.graph.io import load_run
    from circuits.query.verified import info_line

    graph = load_run(path)
    meta = graph.meta
    prompt, told = meta.get("prompt") or {}, meta.get("imported") or {}
    files = {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file()}
    rows: list[Row] = [
        ("prompt", str(prompt.get("text", "")), f"{len(prompt.get('tokens') or ())} tokens"),
        *([("imported", source_name(told), str(told.get("file", "")))] if told else []),
        ("explains", explained(graph)),
        ("model", *_named(meta.get("model"))),
        ("dictionary", *_named(meta.get("dictionary"))),
        *_read(meta.get("dictionary")),
        *size_facts(graph),
        *score_facts(graph),
        *([("verified", *line)] if (line := info_line(graph)) else []),
        *([("memory", size(meta["peak_bytes"]), "at its peak")] if meta.get("peak_bytes") else []),
        ("on disk", size(sum(files.values())), ", ".join(files)),
        ("created", str(meta.get("created", "unknown"))),
        ("made with", ", ".join(f"{name} {v}" for name, v in (meta.get("versions") or {}).items())),
    ]
    document = {
        "kind": "run",
        "path": str(path),
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "hyperedges": len(graph.hyperedges),
        "verdicts": len(graph.verdicts),
        "targets": graph.targets,
        "files": files,
        "meta": dict(meta),
    }
    command = meta.get("command")
    return Found(f"{path} is a run.", rows, document, str(command) if command else None)


def _named(meta: Any) -> tuple[str, str]:
    """Gives name and fingerprint of a model or dictionary as a run or trace records them."""
    if not isinstance(meta, Mapping):
        return ("unknown", "")
    name = str(meta.get("name") or meta.get("kind") or meta.get("spec") or "unknown")
    mark = str(meta.get("fingerprint") or "").rpartition(":")[2]
    return (name, f"fingerprint {mark[:12]}…" if mark else "")


def _read(meta: Any) -> list[Row]:
    """Gives how much of a dictionary's files was read, where a run or trace records it."""
    if not isinstance(meta, Mapping) or not {"bytes", "bytes_read"} <= meta.keys():
        return []
    return [("read of it", size(meta["bytes_read"]), f"of {size(meta['bytes'])} on disk")]


def _trace(path: Path) -> Found:
    from circuits.schema import TRACE_VERSION
    from circuits.trace_io import load_trace

    trace = load_trace(path)
    off = int((trace.features.activation == 0).sum())
    on = len(trace.features) - off
    document = {
        "kind": "trace",
        "path": str(path),
        "version": TRACE_VERSION,
        "prompt": trace.prompt.text,
        "tokens": trace.n_positions,
        "layers": trace.n_layers,
        "width": trace.width,
        "active": on,
        "dormant": off,
        "targets": list(trace.targets.names),
        "dtype": str(trace.dtype),
        "bytes": path.stat().st_size,
        "meta": dict(trace.meta),
    }
    rows: list[Row] = [
        ("prompt", trace.prompt.text, f"{trace.n_positions} tokens"),
        ("targets", ", ".join(trace.targets.names)),
        ("model", *_named(trace.meta.get("model"))),
        ("dictionary", *_named(trace.meta.get("dictionary"))),
        *_read(trace.meta.get("dictionary")),
        ("layers", f"{trace.n_layers}", f"width {trace.width}"),
        ("features", f"{on:,}", f"and {off:,} dormant" if off else ""),
        ("numbers", str(trace.dtype), size(path.stat().st_size) + " on disk"),
        ("format", f"version {TRACE_VERSION}"),
    ]
    return Found(f"{path} is a trace.", rows, document)


def _model(spec: str, tell: Teller) -> Found:
    tell(f"Loading {spec}", 0, 0)
    from circuits.models.load import load_model

    model = load_model(spec)
    anatomy = model.anatomy
    mlp, attention = anatomy.layers[0].mlp, anatomy.layers[0].attention
    parameters = sum({p.data_ptr(): p.numel() for p in model.module.parameters()}.values())
    numbers = {
        "layers": model.n_layers,
        "width": model.width,
        "heads": len(attention.output),
        "neurons": len(mlp.up),
        "vocabulary": len(anatomy.unembedding),
        "context": anatomy.max_positions,
        "parameters": parameters,
    }
    rows: list[Row] = [
        ("architecture", anatomy.architecture),
        *((name, f"{count:,}") for name, count in numbers.items()),
        ("fingerprint", model.fingerprint),
    ]
    document = {
        "kind": "model",
        "spec": spec,
        "name": model.name,
        "architecture": anatomy.architecture,
        **numbers,
        "fingerprint": model.fingerprint,
    }
    return Found(f"{spec} is a model: {model.name}.", rows, document)


def _dictionary(spec: str) -> Found:
    from circuits.dictionaries.load import describe, recognises

    if not recognises(spec):
        raise InvalidFile(
            f"{spec} is no run (it has no manifest.json), no model (no config.json with a model_type) and no"
            " dictionary in a layout known here."
        )
    said = describe(spec)
    parts = said.get("parts", [said])
    rows: list[Row] = []
    for number, part in enumerate(parts):
        told = {**part, "skip": "yes" if part["skip"] else "no", "bytes": size(part["bytes"])}
        if len(parts) > 1:
            rows.append(("part", f"{number + 1} of {len(parts)}"))
        rows += [
            ("on disk" if name == "bytes" else name, f"{v:,}" if isinstance(v, int) else str(v))
            for name, v in told.items()
        ]
    return Found(f"{spec} is a dictionary.", rows, {**said, "path": spec})
