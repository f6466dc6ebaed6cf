"""Progress on stderr: a moving bar in a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from circuits.cli import interrupts
from circuits.cli.console import Output, duration, stderr
from circuits.shown import shown

WORDS = {
    "forward": "Running the model",
    "choose features": "Choosing features",
    "freeze layers": "Freezing layers",
    "labels": "Labelling features",
    "rows": "Attributing",
    "output": "Combinations towards the output",
    "mlp": "Combinations inside features",
    "qk": "Combinations in attention",
    "concepts": "Testing concepts",
    "interventions": "Interventions on the model",
    "held interventions": "Interventions, all else held",
    "encode texts": "Reading other texts",
    "search": "Searching",
    "other texts": "Measuring side effects",
}
SECONDS_BETWEEN_LINES = 10.0


class Teller(Protocol):
    """Told the phase, how much of it is done, of how much (0 where nobody knows), and how it goes."""

    def __call__(self, phase: str, done: int, total: int, detail: str = "") -> None:
        """Shows it."""
        ...


@contextlib.contextmanager
def told_to(teller: Teller) -> Iterator[None]:
    """Has commands tell their progress to `teller`, for as long as the context lasts: a server watches."""
    _elsewhere.append(teller)
    try:
        yield
    finally:
        _elsewhere.remove(teller)


_elsewhere: list[Teller] = []


@contextlib.contextmanager
def telling(output: Output) -> Iterator[Teller]:
    """Gives what is to be told of progress; it cleans up after itself, and passes Ctrl-C on."""
    with _shown(output) as showing:

        def tell(phase: str, done: int, total: int, detail: str = "") -> None:
            interrupts.check()
            showing(phase, done, total, detail)

        yield tell
        interrupts.check()


@contextlib.contextmanager
def _shown(output: Output) -> Iterator[Teller]:
    if _elsewhere:
        yield _elsewhere[-1]
    elif output.quiet:
        yield lambda phase, done, total, detail="": None  # noqa: ARG005
    elif sys.stderr.isatty():
        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            _Counts(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=stderr(),
            transient=True,
        )
        with bars:
            yield _Bars(bars)
    else:
        yield _Lines()


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.total or task.total < 2:
            return Text("")
        counts = f"{task.completed:,.0f}/{task.total:,.0f}"
        if task.fields.get("unit"):
            counts += f" {task.fields['unit']}"
            if task.speed:
                counts += f", {task.speed:,.0f}/s"
        return Text(counts)


class _Bars:
    """One bar, for the phase under way."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._phase = ""
        self._task: TaskID | None = None

    def __call__(self, phase: str, done: int, total: int, detail: str = "") -> None:
        if phase != self._phase or self._task is None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._phase = phase
            self._task = self._bars.add_task(
                WORDS.get(phase, phase), total=total or None, unit="rows" if phase == "rows" else ""
            )
        if phase == "rows" and done >= total > 0:  # what follows, scores and sorting, has no count
            self._bars.update(self._task, description="Scoring the graph", completed=0, total=None)
        else:
            said = ": ".join(filter(None, (WORDS.get(phase, phase), shown(detail))))
            self._bars.update(self._task, description=said, completed=done, total=total or None)


class _Lines:
    """A line when a phase begins, every ten seconds while it lasts, and when the rows are done."""

    def __init__(self) -> None:
        self._phase = ""
        self._began = self._said = 0.0

    def __call__(self, phase: str, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        words = WORDS.get(phase, phase)
        if phase != self._phase:
            self._phase, self._began, self._said = phase, now, now
            print(f"{words} ...", file=sys.stderr)
        elif total and now - self._said >= SECONDS_BETWEEN_LINES and done < total:
            self._said = now
            how = f"; {shown(detail)}" if detail else ""
            print(f"{words}: {done:,} of {total:,}{self._pace(now, done, total)}{how}", file=sys.stderr)

    def _pace(self, now: float, done: int, total: int) -> str:
        elapsed = now - self._began
        if self._phase != "rows" or not done or elapsed <= 0:
            return ""
        rate = done / elapsed
        return f" rows, {rate:,.0f} rows/s, about {duration((total - done) / rate)} left"
