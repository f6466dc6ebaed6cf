"""Texts of a run are never taken for more than text: in every figure, on the terminal, in JSON."""

import contextlib
import io
import json
import re
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hostile import HOSTILE
from hostile_graph import hostile_graph
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from circuits import plot
from circuits.cards.store import cards_path, load_cards, save_cards
from circuits.cli.console import Output, heading, stack
from circuits.cli.main import run
from circuits.graph.concept_graph import concept_graph
from circuits.graph.graph import Graph
from circuits.plot.save import render
from circuits.query.contrast import contrast
from circuits.query.why import why
from circuits.shown import shown

ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal, or a reader's line, acts on."""

FIGURES: dict[str, Callable[[], Axes]] = {
    "network": lambda: plot.network(hostile_graph(), title="".join(HOSTILE)),
    "concepts": lambda: plot.network(concept_graph(hostile_graph(), only=True, loss=0.05)),
    "sentence": lambda: plot.sentence(hostile_graph()),
    "paths": lambda: plot.strongest_paths(hostile_graph()),
    "waterfall": lambda: plot.waterfall(why(hostile_graph())),
    "hypergraph": lambda: plot.hypergraph(hostile_graph()),
    "upset": lambda: plot.upset(hostile_graph()),
    "matrix": lambda: plot.interaction_matrix(hostile_graph()),
    "orders": lambda: plot.interaction_orders(hostile_graph()),
    "agreement": lambda: plot.agreement(hostile_graph()),
    "diff": lambda: plot.difference(contrast(hostile_graph(), other_graph()).highlight),
}


def other_graph() -> Graph:
    graph = hostile_graph()
    more = pl.when(pl.col("source") == "21/1177@13").then(1.5).otherwise(1.0)
    edges = graph.edges.with_columns(pl.col("weight", "strength") * more.cast(pl.Float32))
    tokens = list(reversed(graph.meta["prompt"]["tokens"]))
    other = replace(graph, edges=edges.cast(dict(graph.edges.schema)))
    return other.with_meta(prompt={**graph.meta["prompt"], "tokens": tokens}, run=HOSTILE[7])


@pytest.mark.parametrize("name", FIGURES)
def test_figures_show_hostile_texts_as_text(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph the font lacks is one
        axes = FIGURES[name]()
        for kind in ("png", "pdf", "svg"):
            written = render(axes, kind)
            assert len(written) < 2_000_000
    page = render(axes, "svg", type_as="none")
    root = ET.fromstring(page)
    said = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert said
    assert not [text for text in said if ACTING.search(text)]
    assert max(map(len, said)) <= 401
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"script", "img", "image", "foreignObject", "a"}
    assert not [k for element in root.iter() for k in element.keys() if k.lower().startswith("on")]  # noqa: SIM118
    figure = axes.figure
    width, height = figure.get_size_inches()  # type: ignore[union-attr]
    assert max(width, height) < 40


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "run"
    hostile_graph().save(path)
    return path


def printed(words: list[str], *, terminal: bool = False) -> tuple[int, str, str]:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    out, err = Screen(), Screen()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    return code, out.getvalue(), err.getvalue()


OURS = re.compile("\x1b\\[([0-9;]*[mKA]|\\?25[lh])|\r")
"""Colours, and what moves a progress bar: the only escapes that we write."""

COMMANDS: dict[str, list[str]] = {
    "why": ["why", "RUN"],
    "ask": ["ask", "RUN", "paths to Mary"],
    "ask needs": ["ask", "RUN", "what does Mary need"],
    "group": ["group", "RUN"],
    "contrast": ["contrast", "RUN", "RUN"],
    "query": ["query", "RUN", "SELECT node, label, concept FROM nodes"],
    "query csv": ["query", "RUN", "SELECT label FROM nodes", "--format", "csv"],
    "query schema": ["query", "RUN", "--schema"],
    "info": ["info", "RUN"],
    "plot": ["plot", "RUN", "-o", "OUT.svg"],
    "not found": ["why", "RUN", "--target", HOSTILE[7]],
    "no such run": ["why", f"RUN/{HOSTILE[0]}\x1b[31m"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("terminal", [False, True])
def test_commands_print_nothing_that_acts(
    name: str, terminal: bool, hostile_run: Path, tmp_path: Path
) -> None:
    words = [w.replace("RUN", str(hostile_run)).replace("OUT", str(tmp_path / "a")) for w in COMMANDS[name]]
    code, out, err = printed(words, terminal=terminal)
    assert "report it" not in err
    assert out or err
    exact = name == "query csv" and not terminal  # a program reads it
    for text in (err,) if exact else (out, err):
        for line in OURS.sub("", text).splitlines():
            assert not (found := ACTING.search(line)), (found, line)
    if name in ("why", "query"):
        assert code == 0
        seen = re.sub(r"\s", "", out)
        assert "[bold]markup[/bold]" in seen  # rich took no word of it for markup
        assert "␛[31mred␛[0m" in seen


@pytest.mark.parametrize("name", ["why", "ask", "group", "query", "info"])
def test_documents_hold_the_texts_exactly_and_nothing_that_acts(name: str, hostile_run: Path) -> None:
    words = [word.replace("RUN", str(hostile_run)) for word in COMMANDS[name]]
    _, out, _ = printed([*words, "--json"])
    assert not ACTING.search(out.replace("\n", ""))
    told = json.dumps(json.loads(out), ensure_ascii=False)
    if name == "query":
        assert json.dumps(HOSTILE[7], ensure_ascii=False) in told
        assert HOSTILE[8] in told


def test_colours_of_ours_stay_and_lengths_of_lines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    Output().result(stack(heading("ours"), heading("\x1b[5mtheirs\x07" + "x" * 100)), {})
    text = out.getvalue()
    assert "\x1b[1mours" in text
    assert "␛[5mtheirs" in text
    assert "\x07" not in text


@given(st.text())
def test_whatever_the_text_nothing_that_acts_is_left(text: str) -> None:
    seen = shown(text)
    assert not ACTING.search(seen)
    assert "\n" not in seen
    assert shown(seen) == seen
    assert shown(text, keep="\n").count("\n") == text.count("\n")


def test_texts_are_shown_in_the_viewers_forms() -> None:
    assert shown("a\nb\tc\x1b\x7f\x9b\u202e\u200b\ufeff") == "a⏎b⇥c␛␡⟨U+009B⟩⟨RLO⟩⟨ZWSP⟩⟨BOM⟩"
    assert shown("né 猫 👩‍👩‍👧 ‌") == "né 猫 👩‍👩‍👧 ‌"  # joiners stay


@pytest.fixture(scope="module")
def hostile_cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled cards of one layer, each text replaced by a hostile one."""
    cards = load_cards(cards_path("toy"))
    count = len(cards.meta["token_ids"])
    label = pl.lit(HOSTILE[7] + HOSTILE[9])
    texts = pl.col("labels").list.eval(pl.element().struct.with_fields(text=label))
    table = cards.table.filter(layer=1).head(1000).with_columns(label=label, labels=texts)
    meta = {**cards.meta, "token_texts": [HOSTILE[i % len(HOSTILE)] for i in range(count)]}
    path = tmp_path_factory.mktemp("cards") / "cards.parquet"
    save_cards(replace(cards, table=table, meta=meta), path)
    return path


@pytest.mark.parametrize("asked", [["1/926"], ["--search", "red"], ["--top", "5"], ["1/926", "--json"]])
def test_cards_print_nothing_that_acts(asked: list[str], hostile_cards: Path) -> None:
    code, out, err = printed(["features", "toy", *asked, "--cards", str(hostile_cards)])
    assert code == 0, err
    for line in (out + err).splitlines():
        assert not (found := ACTING.search(line)), (found, line)
    assert "[bold]markup[/bold]" in re.sub(r"\s", "", out)
