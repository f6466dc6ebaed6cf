"""`circuits evaluate`: how good a dictionary is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from circuits.cli import options, work
from circuits.cli.console import Output, commands, facts, heading, stack
from circuits.cli.progress import telling
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.models.base import Model
    from circuits.training.evaluate import Evaluation
    from circuits.training.probing import Probing
    from circuits.training.tokens import Sequences

SITES = {
    "mlp_in": "the MLP's input",
    "mlp_in_no_gain": "the MLP's input",
    "residual": "the stream before the MLP",
    "mlp_out": "the MLP's output",
    "mlp_added": "the MLP's output",
    "block_out": "the stream after the block",
}

HeldOut = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="Text it was not trained on: text, .jsonl with a text a line, or token ids (.npy, .npz).",
    ),
]
Examples = Annotated[
    Path | None,
    typer.Option(
        "--probe",
        metavar="FILE",
        help='Also tell how well 1, 2 and 5 features tell labels apart: .jsonl with {"text": …, "label": …}'
        " in each line.",
    ),
]


def evaluate(
    dictionary: Annotated[
        str, typer.Argument(metavar="DICT", help="The dictionary, as for attribute's --dictionary.")
    ],
    text: HeldOut,
    model: options.ModelSpec = None,
    tokens: Annotated[int, typer.Option(metavar="N", help="Tokens of the text, at most.")] = 50_000,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens a sequence.")] = 128,
    probe: Examples = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell how good a dictionary is: what it explains of a model, and what it costs in its place.

    Dead features, and what a layer costs, depend on the text: take one like the model's own, at least some
    tens of thousands of tokens. The first token of each sequence is left out.

    ```
    circuits evaluate toy --model toy --text corpus.txt
    circuits evaluate dictionaries/mine -m toy --text corpus.txt --json
    ```
    """
    output = Output(json, quiet)
    source = work.Source.of(model=model, dictionary=dictionary)
    with telling(output) as tell:
        loaded, features = source.load(tell)
        from circuits.training.evaluate import evaluate as measure
        from circuits.training.labelled import load_labelled
        from circuits.training.probing import probe as tell_apart

        sequences = _sequences(text, loaded, length, tokens)
        examples = None if probe is None else load_labelled(probe, loaded, length)
        found = measure(loaded, features, sequences, progress=tell)
        probes = None if examples is None else tell_apart(loaded, features, examples, progress=tell)
    document = found.to_dict() | ({} if probes is None else {"probes": probes.to_dict()})
    output.result(_shown(found, probes, source), document)


def _sequences(text: Path, model: Model, length: int, tokens: int) -> Sequences:
    """Gives the first tokens of a text as sequences."""
    from circuits.training.tokens import Sequences, load_sequences

    if tokens < length:
        raise UsageError(f"--tokens {tokens} is less than one sequence of {length} tokens: give more.")
    whole = load_sequences(text, model, length)
    return Sequences(whole.ids[: tokens // length], whole.source)


def _shown(found: Evaluation, probes: Probing | None, source: work.Source) -> RenderableType:
    """Gives the table of layers, what its columns mean, and what probes found."""
    columns = ("layer", "FVU", "L0", "dead", "dense", "duplicates", "loss in its place", "recovered")
    rows = [
        (
            str(layer),
            f"{here.fit.fvu:.3f}",
            f"{here.fit.l0:.1f}",
            f"{here.fit.dead:.1%}",
            f"{here.fit.dense:.1%}",
            f"{here.duplicates[0.9]:.1%}",
            f"{here.losses.replaced:.3f}",
            f"{here.losses.recovered:.1%}",
        )
        for layer, here in found.layers.items()
    ]
    if len(rows) > 1:
        rows.append(
            ("all", "", "", "", "", "", f"{found.losses.replaced:.3f}", f"{found.losses.recovered:.1%}")
        )
    return stack(
        heading(
            f"{source.dictionary} on {source.model}: {found.features:,} features for each of"
            f" {len(found.layers)} layer{'s' if len(found.layers) > 1 else ''},"
            f" {found.tokens:,} tokens of {found.text}."
        ),
        _table(columns, rows),
        facts(_meanings(found)),
        None if probes is None else _told_apart(probes),
        Group(heading("Next"), commands(_next(source))),
    )


def _meanings(found: Evaluation) -> list[tuple[str, str] | tuple[str, str, str]]:
    read, write = (SITES[site] for site in found.sites)
    whole = "layer" if len(found.layers) == 1 else "layers"
    return [
        ("loss", f"{found.losses.own:.3f}", "of the model itself, nats a token"),
        ("", f"{found.losses.zero:.3f}", f"with zeros in place of the {whole}, which recovers 0%"),
        ("", f"{found.losses.mean:.3f}", f"with the mean in place of the {whole}"),
        ("sites", f"reads {read}, writes {write}"),
        ("FVU", "fraction of the variance of what passes there that is left unexplained"),
        ("L0", "active features a token"),
        ("dead", "features active at none of these tokens; dense: at more than 10% of them"),
        ("duplicates", "features whose decoder has a cosine above .9 with another's"),
    ]


def _told_apart(probes: Probing) -> RenderableType:
    """Gives the mean accuracy over labels, by layer, and what it was measured on."""
    bases = ("features", "neurons", "activations")
    rows: list[tuple[str, ...]] = []
    for (layer,), here in probes.means().group_by("layer", maintain_order=True):
        accuracy = {(basis, k): f"{value:.3f}" for _, basis, k, value, _ in here.iter_rows()}
        ks = [k for basis, k in accuracy if basis == bases[0]]
        rows += [
            (str(layer) if k == ks[0] else "", str(k), *(accuracy.get((basis, k), "") for basis in bases))
            for k in ks
        ]
        rows += [("", "all", "", "", value) for (basis, _), value in accuracy.items() if basis not in bases]
    return Group(
        heading(f"Telling {len(probes.labels)} labels apart, {probes.examples:,} examples of {probes.text}"),
        _table(("layer", "k", *bases), rows),
        "",
        facts(
            [
                (
                    "k",
                    "features, neurons or directions of the activations that a logistic regression is given",
                ),
                (
                    "numbers",
                    "accuracy on examples not used for choosing or fitting, mean over labels; chance 0.5",
                ),
            ]
        ),
    )


def _next(source: work.Source) -> list[tuple[str, str]]:
    named = f"--model {shlex.quote(source.model)} --dictionary {shlex.quote(source.dictionary)}"
    return [(f'circuits attribute "The capital of France is" {named} -o run/france', "use it")]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Text:
    """Gives rows under their columns, all to the right; never broken."""
    widths = [max(len(line[i]) for line in (columns, *rows)) for i in range(len(columns))]
    lines = [
        "  " + "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in (columns, *rows)
    ]
    text = Text(lines[0], "dim", no_wrap=True, overflow="ignore")
    return text.append("\n" + "\n".join(lines[1:]), "not dim")
