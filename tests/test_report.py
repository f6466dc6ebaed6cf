"""Pages: well-formed, self-contained, escaped, and showing the numbers of the answer's tables."""

import functools
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from sample_graph import TOKENS, sample_graph
from strategies import graphs

from circuits.errors import OutputExists, UsageError
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.why import why
from circuits.report import report, save_report

VOID = {"meta", "br", "hr", "img", "link", "input", "col"}
EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Checks that tags balance; keeps elements, the exact values of table cells, ids, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cells: dict[str, list[list[str]]] = {}
        self.table: str | None = None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), f"{tag} has an attribute twice"
        self.seen.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.table = found.get("data-table")
            self.cells[self.table or ""] = []
        elif tag == "tr" and "tbody" in self.open:
            self.cells[self.table or ""].append([])
        elif tag == "td":
            self.cells[self.table or ""][-1].append(found.get("data-value") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@functools.cache
def page() -> Page:
    return Page(report(sample_graph()))


def test_tags_balance_and_ids_are_unique() -> None:
    ids = [attrs["id"] for _, attrs in page().seen if attrs.get("id")]
    assert len(ids) == len(set(ids)) > 10
    tags = [tag for tag, _ in page().seen]
    assert (tags.count("h1"), tags.count("main"), tags.count("title") > 40, tags.count("svg")) == (
        1,
        1,
        True,
        3,  # network, paths, sum
    )


def test_references_inside_the_page_lead_somewhere() -> None:
    ids = {attrs["id"] for _, attrs in page().seen if attrs.get("id")}
    values = [value or "" for _, attrs in page().seen for value in attrs.values()]
    wanted = {name for value in values for name in re.findall(r"url\(#([^)]+)\)", value)}
    wanted |= {attrs["href"][1:] for _, attrs in page().seen if (attrs.get("href") or "").startswith("#")}  # type: ignore[index]
    wanted |= {attrs["aria-labelledby"] for _, attrs in page().seen if attrs.get("aria-labelledby")}  # type: ignore[misc]
    assert wanted
    assert wanted <= ids


def without_scripts(text: str) -> str:
    """A page without what stands inside its scripts: our own code, and the document as JSON."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", text, flags=re.DOTALL)


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = without_scripts(report(sample_graph()))
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    loading = {"src", "srcset", "action", "poster", "data"}
    assert not [(tag, attrs) for tag, attrs in page().seen if loading & set(attrs) or tag == "link"]


@pytest.mark.parametrize("name", ["totals", "features", "paths", "words"])
def test_numbers_on_the_page_are_those_of_the_tables(name: str) -> None:
    table = why(sample_graph()).tables[name]
    shown = [c for c, kind in table.schema.items() if not isinstance(kind, pl.List)]
    assert len(page().cells[name]) == len(table)
    for cells, row in zip(page().cells[name], table.iter_rows(named=True), strict=True):
        for text, column in zip(cells, shown, strict=False):
            value = row[column]
            assert (
                (float(text) == value)
                if isinstance(value, float)
                else (text == str(value or "") or value == 0)
            )


def test_scores_and_ends_are_those_of_the_tables() -> None:
    tables = why(sample_graph()).tables
    bold = [float(str(attrs["data-value"])) for tag, attrs in page().seen if tag == "b"]
    residual = [sample_graph().meta["completeness_residual"]]
    assert bold == [*tables["ends"]["share"], *tables["trust"]["share"], *residual]


def test_the_page_holds_answer_prompt_method_and_how_to_repeat_it() -> None:
    text = " ".join("".join(page().text).replace("\u00a0", " ").split())
    answer = why(sample_graph())
    for sentence in answer.finding[:-1]:
        assert " ".join(sentence.split()) in text
    assert "of the influence is traced back to the prompt" in text
    assert "".join(TOKENS) in text
    for told in (
        "Attention patterns and normalisation scales are held",
        "Of 644,000 active on this prompt, 36",
    ):
        assert told in text
    assert str(sample_graph().meta["command"]) in text
    assert "circuits.why(graph)" in text
    for known in ("5f0c2a91d7", "9ab31e77c2", "0.8.0"):
        assert known in text


def test_texts_from_outside_are_escaped() -> None:
    graph = sample_graph()
    tokens = [EVIL, *TOKENS[1:-1], "\"&'"]
    targets = [{"name": "logit:Mary", "tokens": [EVIL], "probability": 0.5}]
    evil = graph.with_nodes(label=pl.when(pl.col("kind") == "feature").then(pl.lit(EVIL)))
    evil = evil.with_meta(prompt={"tokens": tokens}, targets=targets, command=EVIL, labels=EVIL, run=EVIL)
    evil = evil.with_meta(model={"name": EVIL}, selection={EVIL: EVIL}, versions={EVIL: EVIL}, softcap=EVIL)
    text = report(evil, title=EVIL)
    assert "<script>alert" not in text
    assert html.escape(EVIL, quote=False) in text
    parsed = Page(text)
    assert [tag for tag, _ in parsed.seen].count("script") == 3  # the document, the page's, the viewer's
    assert not [1 for _, attrs in parsed.seen for name in attrs if name.startswith("on")]


def test_a_token_is_shaded_by_its_influence() -> None:
    words = why(sample_graph()).tables["words"]
    shade = [
        float(str(attrs["style"]).split(": ")[1]) for _, attrs in page().seen if attrs.get("class") == "token"
    ]
    assert len(shade) == len(TOKENS)
    best = words["influence"][0]
    for pos, share in words.select("pos", "influence").iter_rows():
        assert shade[pos] == pytest.approx(0.62 * share / best, abs=1e-4)


def test_colours_of_the_picture_follow_the_scheme() -> None:
    styles = [
        attrs["style"] or ""
        for tag, attrs in page().seen
        if attrs.get("style") and tag in ("path", "text", "use")
    ]
    fixed = [s for s in styles if re.search(r"(?<!, )#[0-9a-f]{6}", s)]
    assert styles
    assert fixed == []
    assert "prefers-color-scheme: dark" in report(sample_graph())


def test_the_picture_shows_the_answers_target_alone() -> None:
    answer = why(sample_graph(), "Mary", over="John")
    parsed = Page(report(sample_graph(), answer=answer, nodes=15))
    nodes = [str(attrs["data-node"]) for _, attrs in parsed.seen if attrs.get("class") == "node"]
    assert [n for n in nodes if n.startswith("logit:")] == ["logit:Mary-John"]
    assert len(nodes) == 16


def test_pages_are_the_same_each_time() -> None:
    assert report(sample_graph(), nodes=10) == report(sample_graph(), nodes=10)


def test_saving_keeps_what_exists_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert save_report(sample_graph(), path).read_text(encoding="utf-8") == report(sample_graph())
    path.write_text("mine")
    with pytest.raises(OutputExists):
        save_report(sample_graph(), path)
    with pytest.raises(UsageError):
        save_report(sample_graph().with_nodes(target_weight=pl.lit(0.0)), tmp_path / "other.html")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "mine"
    assert (
        save_report(sample_graph(), path, overwrite=True).read_text(encoding="utf-8").startswith("<!DOCTYPE")
    )


def test_any_answer_gets_a_page() -> None:
    graph = sample_graph()
    plain = Answer("What?", (), {"odd": pl.DataFrame({"a": [1, 2], "b": ["x", None]})}, graph, "pass")
    parsed = Page(report(graph, answer=plain, nodes=5))
    assert parsed.cells["odd"] == [["1", "x"], ["2", ""]]


@settings(max_examples=8, deadline=None)
@given(graphs())
def test_any_graph_gets_a_page(graph: Graph) -> None:
    for page in (report(graph), report(replace(graph, meta={}), nodes=3)):
        tags = [tag for tag, _ in Page(page).seen]  # which also checks that they balance
        assert "svg" in tags
        assert "h1" in tags


def test_the_files_of_the_page_are_in_the_package() -> None:
    names = {file.name for file in resources.files("circuits.report").iterdir()}
    assert {"template.html", "blocks.html", "page.css", "print.css", "page.js"} <= names
