"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Literal["auto", "cpu", "gpu"]
Dtype = Literal["float32", "float64"]

HOW = "How to compute"
WHAT = "What to explain"
OUT = "Output"

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document, also when failing.", rich_help_panel=OUT),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.", rich_help_panel=OUT)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what stands at the output path.", rich_help_panel=OUT)
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory made by `circuits attribute`.")]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="NODE",
        help="What to explain: a target such as logit:Paris, or a feature such as 12/4051@7.",
        show_default="the likeliest",
    ),
]
Over = Annotated[str | None, typer.Option(metavar="NODE", help="Explain --target minus this second target.")]
Top = Annotated[int, typer.Option(metavar="N", min=1, help="How many features to list.")]
ModelSpec = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="toy (bundled), smollm2, a Hugging Face directory, a .gguf file, or a hub name.",
        show_default="smollm2",
    ),
]
DictionarySpec = Annotated[
    str | None,
    typer.Option(
        "--dictionary",
        "-d",
        metavar="DICT",
        help="neurons, toy (of the bundled model), a file or directory, hf:OWNER/REPO/FOLDER,"
        " or sae-lens:RELEASE/ID.",
        show_default="neurons",
    ),
]
Select = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        rich_help_panel=HOW,
        help="Which features become nodes, the rest going into error nodes: all (active ones),"
        " attribution:4000 (those that matter most to the targets), norm:0.95 (those that make up this"
        " share of each MLP's output).",
        show_default="all; attribution:4000 for neurons",
    ),
]
DormantMargin = Annotated[
    float | None,
    typer.Option(
        metavar="M",
        rich_help_panel=HOW,
        help="Also keep features that are off, but by less than M below their threshold.",
    ),
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option("--dtype", rich_help_panel=HOW, help="Precision.", show_default="float32"),
]
DeviceOption = Annotated[Device, typer.Option("--device", rich_help_panel=HOW, help="Where to compute.")]
MaxFeatures = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", rich_help_panel=HOW, help="Features that get incoming edges, best first."
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        rich_help_panel=HOW, help="Recorded in the run. Nothing is random yet, so it changes no number."
    ),
]


Force = Annotated[
    bool,
    typer.Option(
        "--force",
        rich_help_panel=HOW,
        help="Go on though the model or dictionary is no longer the run's; the result says so.",
    ),
]

RunOut = Annotated[
    Path, typer.Option("--out", "-o", metavar="RUN", rich_help_panel=OUT, help="The run directory to make.")
]
PromptText = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="The text whose continuation is explained.")
]
TraceFile = Annotated[
    Path | None,
    typer.Option("--trace", metavar="FILE", help="Start from a trace file instead; no model is loaded."),
]
TargetTokens = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TOKEN",
        rich_help_panel=WHAT,
        help='Explain the logit of this token, spelt as the tokenizer does: " Paris". May be repeated.',
        show_default="the likeliest tokens",
    ),
]
OverToken = Annotated[
    str | None,
    typer.Option("--over", metavar="TOKEN", rich_help_panel=WHAT, help="Explain --target minus this token."),
]
TargetFeatures = Annotated[
    list[str] | None,
    typer.Option(
        "--feature",
        metavar="NODE",
        rich_help_panel=WHAT,
        help="Explain a feature, written layer/feature@position: 12/4051@7. May be repeated.",
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        metavar="T",
        rich_help_panel=HOW,
        help="Keep an edge if it is at least this share of all that flows into its target; the others are"
        " summed, not lost.",
    ),
]
KeepTrace = Annotated[
    bool,
    typer.Option("--keep-trace", rich_help_panel=OUT, help="Keep the trace in the run; it can be large."),
]
NoLabels = Annotated[
    bool, typer.Option("--no-labels", rich_help_panel=OUT, help="Do not label the features.")
]
