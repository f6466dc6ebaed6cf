"""`circuits estimate`: what a run will take, before it is run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from circuits.cli import options, work
from circuits.cli.console import Output, facts, heading, size, stack
from circuits.cli.progress import telling
from circuits.errors import UsageError


def estimate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text, as for attribute.")],
    model: options.ModelSpec = None,
    dictionary: options.DictionarySpec = None,
    select: options.Select = None,
    dormant_margin: options.DormantMargin = None,
    max_features: options.MaxFeatures = work.MAX_FEATURES,
    dtype: options.DtypeOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell how much memory and how many rows a run will take, without running it."""
    output = Output(json, quiet)
    if not prompt.strip():
        raise UsageError("The prompt is empty: give at least one word.")
    source = work.Source.of(
        model=model, dictionary=dictionary, select=select, dormant_margin=dormant_margin, dtype=dtype
    )
    settings = source.settings(max_features)
    with telling(output) as tell:
        loaded, features = source.load(tell)
    from circuits.extraction.estimate import estimate as predict
    from circuits.prompt import Prompt

    expected = predict(loaded, features, len(Prompt.of(prompt, loaded)), settings)
    rows = expected.rows - expected.features + min(expected.features, max_features)
    output.result(
        stack(
            heading(f"{loaded.name}, {features.kind}, {expected.n_tokens} tokens"),
            facts(
                [
                    ("features", f"{expected.features:,}", expected.assumption),
                    ("rows", f"{rows:,}", "one a feature up to --max-features, and the targets"),
                    ("memory", size(expected.peak_bytes), "at most, at any moment; of it:"),
                    ("  weights", size(expected.weights_bytes)),
                    ("  forward pass", size(expected.forward_bytes)),
                    ("  trace", size(expected.trace_bytes)),
                    ("  engine", size(expected.engine_bytes), "tables and edges"),
                ]
            ),
        ),
        {**asdict(expected), "rows": rows, "seconds": None},
    )
