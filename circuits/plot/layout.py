"""Where everything in a token × layer picture stands, in inches, before anything is drawn."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuits.plot.style import SIZE, text_width

MARGIN = 0.12
AXIS = 0.46  # room for layer numbers
LINE = 0.38  # height of one line of nodes with labels below
SKIPPED = 0.10  # extra room where layers are left out
SLOT_GAP = 0.10
COLUMN_GAP = 0.10
NARROWEST = 0.30  # of a column
ACROSS = 4  # nodes side by side in a cell; more go onto further lines
LONG_PROMPT = 40  # tokens from which positions without nodes are left out
ELLIPSIS = 0.28
TOKENS_HEIGHT = 0.30
LEGEND_HEIGHT = 0.36
LEGEND_LINE = 0.17  # a second line of the legend
TITLE_HEIGHT = 0.30
LOGIT_LEVEL = 10**6
TOKEN_LEVEL = -1


@dataclass(frozen=True)
class Box:
    """One node to be placed.

    Attributes:
        node: its name.
        level: `TOKEN_LEVEL`, its layer, or `LOGIT_LEVEL`.
        pos: its position.
        width: the room it needs from left to right, label included.
    """

    node: str
    level: int
    pos: int
    width: float


@dataclass(frozen=True)
class Column:
    """One token position (`pos` None: an ellipsis for several left out): left edge and width."""

    pos: int | None
    left: float
    width: float

    @property
    def middle(self) -> float:
        """Gives the x of its middle."""
        return self.left + self.width / 2


@dataclass(frozen=True)
class Row:
    """One level: bottom and height; `skipped` layers were left out below it."""

    level: int
    bottom: float
    height: float
    skipped: int

    @property
    def middle(self) -> float:
        """Gives the y of its middle."""
        return self.bottom + self.height / 2


@dataclass(frozen=True)
class Layout:
    """A finished layout: the size of the figure, its columns and rows, the place of each node."""

    width: float
    height: float
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    place: Mapping[str, tuple[float, float]]


def layout(
    boxes: Sequence[Box],
    tokens: Sequence[str],
    *,
    titled: bool,
    narrowest: float,
    legend: float = LEGEND_HEIGHT,
) -> Layout:
    """Gives the layout of nodes over the prompt's tokens.

    Columns are as wide as their widest cell or token; levels without nodes get no row; long prompts
    keep only positions that hold nodes. Nodes of one cell stand side by side, at most `ACROSS` on a line.

    Args:
        boxes: the nodes.
        tokens: one text per position, as they will be drawn.
        titled: leave room for a title.
        narrowest: the least width of the figure.
        legend: the height of the legend.
    """
    cells: dict[tuple[int, int], list[Box]] = defaultdict(list)
    for box in boxes:
        cells[box.level, box.pos].append(box)
    lines = {key: _lines(held) for key, held in cells.items()}
    columns = _columns(lines, tokens, narrowest)
    floor = MARGIN + legend + TOKENS_HEIGHT
    rows = _rows(lines, floor)
    top = rows[-1].bottom + rows[-1].height + MARGIN + (TITLE_HEIGHT if titled else 0.0)
    middle = {column.pos: column.middle for column in columns}
    place = {}
    for row in rows:
        for (level, pos), held in lines.items():
            if level == row.level:
                for i, line in enumerate(held):
                    y = row.middle + (len(held) - 1) * LINE / 2 - i * LINE
                    place.update(_across(line, middle[pos], y))
    right = columns[-1].left + columns[-1].width + MARGIN
    return Layout(right, top, columns, rows, place)


def stretched(given: Layout, width: float, height: float) -> Layout:
    """Gives a layout pulled to a larger size; margins, axis and legend keep theirs."""
    left, floor = MARGIN + AXIS, given.rows[0].bottom
    x = (width - left - MARGIN) / (given.width - left - MARGIN)
    y = (height - floor - MARGIN) / (given.height - floor - MARGIN)
    return Layout(
        width,
        height,
        tuple(Column(c.pos, left + (c.left - left) * x, c.width * x) for c in given.columns),
        tuple(Row(r.level, floor + (r.bottom - floor) * y, r.height * y, r.skipped) for r in given.rows),
        {node: (left + (at[0] - left) * x, floor + (at[1] - floor) * y) for node, at in given.place.items()},
    )


def _lines(held: Sequence[Box]) -> list[list[Box]]:
    """Gives the nodes of a cell on as few lines as `ACROSS` allows, evenly filled."""
    count = -(-len(held) // ACROSS)
    per_line = -(-len(held) // count)
    return [list(held[i : i + per_line]) for i in range(0, len(held), per_line)]


def _across(line: Sequence[Box], middle: float, y: float) -> dict[str, tuple[float, float]]:
    x = middle - _line_width(line) / 2
    place = {}
    for box in line:
        place[box.node] = (x + box.width / 2, y)
        x += box.width + SLOT_GAP
    return place


def _line_width(line: Sequence[Box]) -> float:
    return sum(box.width for box in line) + SLOT_GAP * (len(line) - 1)


def _columns(
    lines: Mapping[tuple[int, int], list[list[Box]]], tokens: Sequence[str], narrowest: float
) -> tuple[Column, ...]:
    needed: dict[int, float] = defaultdict(float)
    for (_, pos), held in lines.items():
        needed[pos] = max(needed[pos], *(_line_width(line) for line in held))
    shown = _shown(sorted(needed), len(tokens))
    widths = [
        ELLIPSIS if pos is None else max(NARROWEST, needed[pos], text_width(tokens[pos], SIZE)) + COLUMN_GAP
        for pos in shown
    ]
    spare = max(0.0, narrowest - AXIS - 2 * MARGIN - sum(widths)) / len(widths)
    columns, left = [], MARGIN + AXIS
    for shown_pos, width in zip(shown, widths, strict=True):
        columns.append(Column(shown_pos, left, width + spare))
        left += width + spare
    return tuple(columns)


def _shown(held: Sequence[int], n_tokens: int) -> list[int | None]:
    """Gives the positions that get a column, None for a run of positions left out."""
    if n_tokens < LONG_PROMPT:
        return list(range(n_tokens))
    shown: list[int | None] = []
    for before, pos in itertools.pairwise([-1, *held, n_tokens]):
        if pos > before + 1:
            shown.append(None)
        if pos < n_tokens:
            shown.append(pos)
    return shown


def _rows(lines: Mapping[tuple[int, int], list[list[Box]]], floor: float) -> tuple[Row, ...]:
    count: dict[int, int] = defaultdict(int)
    for (level, _), held in lines.items():
        count[level] = max(count[level], len(held))
    count.setdefault(TOKEN_LEVEL, 1)
    rows: list[Row] = []
    bottom, before = floor, TOKEN_LEVEL
    for level in sorted(count):
        skipped = 0 if level == LOGIT_LEVEL else max(0, level - before - 1)
        bottom += SKIPPED if skipped else 0.0
        rows.append(Row(level, bottom, count[level] * LINE, skipped))
        bottom += count[level] * LINE
        before = level
    return tuple(rows)
