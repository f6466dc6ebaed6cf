"""From a prompt, or a trace file, to a saved run: what `attribute` and `demo` share."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.cli.console import Output, size
from circuits.cli.options import Device, Dtype
from circuits.cli.progress import Teller
from circuits.errors import CircuitsError, UsageError

if TYPE_CHECKING:
    from circuits.dictionaries.base import AbstractDictionary
    from circuits.extraction.extract import Extraction
    from circuits.extraction.select import Selection
    from circuits.graph.graph import Graph
    from circuits.models.base import Model
    from circuits.prompt import Target
    from circuits.trace import Trace

MODEL = "smollm2"
DICTIONARY = "neurons"
MAX_FEATURES = 4000
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Source:
    """Which model is to be explained, with which features.

    Attributes:
        model: as `load_model` takes it.
        dictionary: as `load_dictionary` takes it.
        select: the rule as it was written, or None.
        dormant_margin: see `Extraction`.
        labels: label the features.
        dtype: the precision.
        device: "auto", "cpu" or "gpu".
    """

    model: str = MODEL
    dictionary: str = DICTIONARY
    select: str | None = None
    dormant_margin: float | None = None
    labels: bool = True
    dtype: Dtype = "float32"
    device: Device = "auto"

    @classmethod
    def of(cls, **options: Any) -> Source:
        """Gives the source that a command's options name, defaults where an option is None."""
        return cls(**{name: value for name, value in options.items() if value is not None})

    def load(self, tell: Teller) -> tuple[Model, AbstractDictionary]:
        """Gives model and dictionary."""
        tell(f"Loading {self.model}", 0, 0)
        from circuits.dictionaries.load import load_dictionary
        from circuits.models.load import load_model

        if self.device == "cpu":
            model = load_model(self.model, dtype=self.dtype)
        else:
            try:  # the model goes to a GPU where torch has one; which devices JAX has is another matter
                model = load_model(self.model, dtype=self.dtype, device="cuda")
            except UsageError:
                model = load_model(self.model, dtype=self.dtype)
        return model, load_dictionary(self.dictionary, model)

    def settings(self, max_features: int = MAX_FEATURES) -> Extraction:
        """Gives the settings of extraction; neurons are kept as many as will be expanded, or 4,000."""
        from circuits.extraction.extract import Extraction
        from circuits.extraction.select import ByAttribution

        chosen = selection(self.select) if self.select is not None else None
        if chosen is None and self.dictionary == "neurons" and max_features > ByAttribution().most:
            chosen = ByAttribution(max_features)
        return Extraction(select=chosen, labels=self.labels, dormant_margin=self.dormant_margin)


def selection(rule: str) -> Selection:
    """Gives the selection a rule names: `all`, `attribution:N`, `norm:SHARE`.

    Raises:
        UsageError: no such rule, or its number is out of range.
    """
    from circuits.extraction.select import AllActive, ByAttribution, NormShare

    name, _, number = rule.partition(":")
    try:
        match name:
            case "all" if not number:
                return AllActive()
            case "attribution":
                return ByAttribution(int(number)) if number else ByAttribution()
            case "norm":
                return NormShare(float(number))
    except ValueError:
        pass  # no number where one is needed
    raise UsageError(f"No rule {rule!r} to select by: write all, attribution:4000 or norm:0.95.")


def targets(tokens: Sequence[str], over: str | None, features: Sequence[str]) -> tuple[Target, ...]:
    """Gives the targets the options name; none where the top logits are meant.

    Raises:
        UsageError: --over without exactly one --target, or a feature that is not written as one.
    """
    from circuits.prompt import FeatureTarget, Logit, LogitDifference

    asked: tuple[Target, ...] = tuple(FeatureTarget(node) for node in features)
    if over is None:
        return tuple(Logit(token) for token in tokens) + asked
    if len(tokens) != 1:
        raise UsageError(f"--over takes one --target to compare with, not {len(tokens)}.")
    return (LogitDifference(tokens[0], over), *asked)


def trace_prompt(
    text: str,
    asked: tuple[Target, ...],
    source: Source,
    max_features: int,
    output: Output,
    tell: Teller,
) -> Trace:
    """Gives the trace of a prompt, after saying how much memory the run will take."""
    if not text.strip():
        raise UsageError("The prompt is empty: give at least one word.")
    settings = source.settings(max_features)
    model, dictionary = source.load(tell)
    from circuits.extraction.estimate import estimate
    from circuits.extraction.extract import extract
    from circuits.prompt import Prompt

    prompt = Prompt.of(text, model, targets=asked)
    expected = estimate(model, dictionary, len(prompt), settings)
    output.note(
        f"{model.name}, {dictionary.kind}: {len(prompt)} tokens, about {expected.features:,} features,"
        f" at most {size(expected.peak_bytes)} of memory."
    )
    installed = memory()
    if installed and expected.peak_bytes > installed:
        output.note(f"This machine has {size(installed)}; --max-features or --select make the run smaller.")
    trace = extract(model, dictionary, prompt, settings, progress=tell)
    return with_tested_labels(trace, source.dictionary, output) if settings.labels else trace


def with_tested_labels(trace: Trace, dictionary: str, output: Output) -> Trace:
    """Gives the trace with the labels of the cards that lie beside a dictionary, if they are its own.

    Args:
        trace: made with the dictionary.
        dictionary: as the user named it.
        output: told where the cards are of no use.
    """
    from circuits.cards.apply import label_features
    from circuits.cards.store import find_cards

    try:
        cards = find_cards(dictionary, trace.meta["dictionary"]["fingerprint"])
    except CircuitsError as cause:
        output.note(f"{cause} Until then features bear the tokens they promote.")
        return trace
    return trace if cards is None else label_features(trace, cards)


def memory() -> int | None:
    """Gives the machine's memory in bytes, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def peak_memory() -> int | None:
    """Gives the most memory this process has held so far, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class Rows:
    """Which rows are computed, and where.

    Attributes:
        max_features: see `circuits.Edges`.
        tolerance: see `circuits.Edges`.
        device: "auto", "cpu" or "gpu".
    """

    max_features: int = MAX_FEATURES
    tolerance: float = TOLERANCE
    device: Device = "auto"

    def check(self) -> None:
        """Refuses settings and devices the engine would refuse, before a model is loaded."""
        from circuits.engine.edges import Edges
        from circuits.engine.rows import devices

        Edges(tolerance=self.tolerance, max_features=self.max_features)
        devices(self.device)

    def graph(self, trace: Trace, tell: Teller) -> Graph:
        """Gives the graph of a trace; programs compiled in earlier runs are used again."""
        from circuits.engine.attribute import Compute, attribute
        from circuits.engine.cache import use_compilation_cache
        from circuits.engine.edges import Edges

        use_compilation_cache()
        tell("rows", 0, min(self.max_features, len(trace.features)) + len(trace.targets))
        settings = Edges(tolerance=self.tolerance, max_features=self.max_features)
        return attribute(trace, (settings,), compute=Compute(device=self.device), progress=tell)


def stamped(graph: Graph, arguments: Sequence[str], seed: int, began: float) -> Graph:
    """Gives the graph with how it came about: command line, seed, time of day, seconds, peak memory."""
    now = dt.datetime.now(dt.UTC)
    timings: Mapping[str, Any] = graph.meta.get("timings") or {}
    return graph.with_meta(
        command=shlex.join(["circuits", *arguments]),
        seed=seed,
        created=now.isoformat(timespec="seconds"),
        timings={**timings, "total": time.perf_counter() - began},
        peak_bytes=peak_memory(),
    )


def save(graph: Graph, trace: Trace | None, path: Path, *, overwrite: bool) -> None:
    """Writes the run, the trace beside it if there is one to keep."""
    from circuits.graph.io import save_run

    save_run(graph, path, trace=trace, overwrite=overwrite)
