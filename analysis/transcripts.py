"""Writes down what every kind of question gives, the commands as typed: `reports/transcripts_*.md`.

python analysis/transcripts.py            both models, about ten minutes on two cores
python analysis/transcripts.py toy        the bundled model alone

The commands run in a temporary directory, one after the other, just as they stand on the page. A command this
version does not have is listed at the end of the page, and so is one that failed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPORTS = Path(__file__).resolve().parent.parent / "reports"
LINES: Final = 64
"""Lines of one command's output that are shown."""


@dataclass(frozen=True)
class Step:
    """A command and what it is for.

    Attributes:
        title: what is found out.
        command: as typed, without `circuits`.
        lines: of its output that are shown.
    """

    title: str
    command: str
    lines: int = LINES


@dataclass(frozen=True)
class Outcome:
    """What a command did: its output, its exit code, its seconds."""

    text: str
    code: int
    seconds: float


@dataclass(frozen=True)
class Page:
    """A page of transcripts: what it says first, and its steps."""

    title: str
    first: str
    steps: tuple[Step, ...]


TOY: Final = Page(
    "Transcripts: the bundled model",
    "A model of four layers with transcoders, both in the package. It has learned capitals of states, so the"
    " answer needs two steps: Dallas is in Texas, and the capital of Texas is Austin.",
    (
        Step(
            "Two runs, alike but for the city",
            "attribute 'The capital of the state containing Dallas is' --model toy --dictionary toy -o dallas"
            " --keep-trace --quiet",
            12,
        ),
        Step(
            "The other city",
            "attribute 'The capital of the state containing Seattle is' --model toy --dictionary toy"
            " -o seattle --keep-trace --quiet",
            6,
        ),
        Step("What acts only together", "interact dallas --quiet", 40),
        Step("Do the claims hold on the model?", "verify dallas --quiet", 70),
        Step("Why this output?", "why dallas", 70),
        Step("The same in words, a slip of the pen included", "ask dallas 'wyh Austin'", 4),
        Step("Which pairs?", "ask dallas 'which pairs drive Austin and of what kind'", 40),
        Step("Why this output here and another there?", "contrast dallas seattle", 40),
        *(
            Step(
                f"Both answers in one run, {city}",
                f"attribute 'The capital of the state containing {city} is' --model toy --dictionary toy"
                f" --target ' Austin' --target ' Olympia' -o {city.lower()}2 --quiet",
                6,
            )
            for city in ("Dallas", "Seattle")
        ),
        Step(
            "The one answer over the other, here and there, and whether a swap does what is predicted",
            "contrast dallas2 seattle2 --check --quiet",
        ),
        Step(
            "Does one concept need the other?",
            "ask dallas 'does Dallas need \" capital\"' --check --quiet",
            40,
        ),
        Step("The word off, on the model", "intervene dallas --set Dallas=0 --generate 8 --quiet", 40),
        Step(
            "A smallest set that suffices",
            "ask dallas 'smallest set for 80% of Austin' --check --quiet",
            50,
        ),
        Step(
            "A smallest set that is necessary",
            "ask dallas 'what is necessary for 80% of Austin' --check --quiet",
            40,
        ),
        Step("What breaks?", "ask dallas 'what breaks if Dallas and \" state\" are off' --check --quiet", 40),
        Step("What if?", "ask dallas 'what if 3/1530@8 is off and 1/926@8 is doubled' --check --quiet", 40),
        Step("The strongest paths", "ask dallas 'paths from Dallas to Austin through layer 1..2 top 5'", 40),
        Step("A cut", "ask dallas 'what carries \" state\" to Austin' --check --quiet", 40),
        Step("What is like a feature?", "ask dallas 'what is like 3/1530@8'", 30),
        Step("What is unexplained?", "ask dallas 'what is unexplained of Austin'", 40),
        Step("Automatic concepts", "group dallas", 50),
        Step(
            "The same tables in SQL",
            "query dallas \"SELECT source, weight FROM edges WHERE target = 'logit:Austin'"
            ' ORDER BY abs(weight) DESC LIMIT 5"',
            20,
        ),
        Step(
            "Another output, by the smallest intervention",
            "steer dallas --toward ' Salem' --budget 3 --quiet",
            60,
        ),
        Step("One that no small intervention found reaches", "steer dallas --toward ' Olympia' --quiet", 30),
    ),
)

SMOLLM2: Final = Page(
    "Transcripts: SmolLM2-135M",
    "SmolLM2-135M-Instruct with its own neurons as features, which no training made sparse: more of an answer"
    " is spread over many, and every answer says how much.",
    (
        Step(
            "Two runs, alike but for the country",
            "attribute 'The capital of France is' -o france --quiet",
            12,
        ),
        Step("The other country", "attribute 'The capital of Germany is' -o germany --quiet", 6),
        Step("What acts only together", "interact france --quiet", 40),
        Step("Do the claims hold on the model?", "verify france --quiet", 70),
        Step("Why this output?", "why france", 70),
        Step("Why this and not another?", 'ask france \'why " Paris" and not " London"\'', 40),
        Step("Which pairs?", "ask france 'which pairs drive \" Paris\"'", 40),
        Step("Why this output here and another there?", "contrast france germany --check --quiet"),
        Step(
            "Does one concept need the other?",
            "ask france 'does France need \"capital\"' --check --quiet",
            40,
        ),
        Step(
            "A smallest set that suffices", "ask france 'smallest set for 80% of Paris' --check --quiet", 40
        ),
        Step(
            "A smallest set that is necessary",
            "ask france 'what is necessary for 80% of Paris' --check --quiet",
            40,
        ),
        Step("What breaks?", "ask france 'what breaks if France is off' --check --quiet", 40),
        Step("The word off, on the model", "intervene france --set France=0 --generate 8 --quiet", 40),
        Step("The strongest paths", "ask france 'paths from France to Paris top 5'", 40),
        Step("A cut", "ask france 'what carries France to Paris'", 40),
        Step("What is unexplained?", "ask france 'what is unexplained of Paris'", 40),
        Step(
            "The same tables in SQL",
            'query france "SELECT layer, count(*) AS features, sum(influence) AS influence FROM nodes WHERE'
            " kind = 'feature' GROUP BY layer ORDER BY influence DESC LIMIT 5\"",
            20,
        ),
        Step(
            "Another output, by the smallest intervention",
            "steer france --toward ' London' --budget 3 --quiet",
            60,
        ),
    ),
)

PAGES: Final[Mapping[str, Page]] = {"toy": TOY, "smollm2": SMOLLM2}


def main(chosen: Sequence[str]) -> None:
    unknown = set(chosen) - set(PAGES)
    if unknown:
        sys.exit(f"{', '.join(unknown)} is none of {', '.join(PAGES)}.")
    REPORTS.mkdir(exist_ok=True)
    for name in chosen or PAGES:
        with tempfile.TemporaryDirectory() as temporary:
            text = page(PAGES[name], Path(temporary))
        file = REPORTS / f"transcripts_{name}.md"
        file.write_text(text)
        print(f"wrote reports/{file.name}")


def page(asked: Page, here: Path) -> str:
    """Gives a page: each step with its command and what it printed, what failed last."""
    done: list[str] = []
    last: list[str] = []
    for step in asked.steps:
        if not known(step.command.split()[0], here):
            last.append(f"- {step.title}: `circuits {step.command}` (no such command in this version)")
            continue
        outcome = circuits(here, step.command)
        print(f"{outcome.seconds:6.1f} s  exit {outcome.code}  circuits {step.command}", flush=True)
        done.append(told(step, outcome))
        if outcome.code and "wyh" not in step.command:
            last.append(f"- {step.title}: `circuits {step.command}` gave exit code {outcome.code}")
    parts = [f"# {asked.title}", asked.first, _INTRODUCTION, *done]
    parts += ["## Not answered", "\n".join(last)] if last else []
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = (
    "Written by `python analysis/transcripts.py`, which runs the commands below in an empty directory, in"
    " this order. What a graph predicts says so; what was measured on the model says that. Long outputs are"
    " cut where it is marked."
)


def told(step: Step, outcome: Outcome) -> str:
    lines = outcome.text.rstrip().split("\n")
    more = len(lines) - step.lines
    shown = lines if more <= 3 else [*lines[: step.lines], f"[… {more} more lines]"]
    text = "\n".join(shown) or "(prints nothing)"
    return f"## {step.title}\n\n```\n$ circuits {step.command}\n{text}\n```"


def known(command: str, here: Path) -> bool:
    return circuits(here, f"{command} --help").code == 0


def circuits(here: Path, command: str) -> Outcome:
    """Gives what a command printed, on either stream, with no path of this machine in it."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "circuits", *shlex.split(command)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=here, check=False)
    text = done.stdout if done.returncode == 0 else done.stdout + done.stderr
    for path in (str(here.resolve()), str(here), str(Path.home())):
        text = text.replace(f"{path}/", "").replace(path, "~")
    return Outcome(re.sub(r"\x1b\[[0-9;]*m", "", text), done.returncode, time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1:])
