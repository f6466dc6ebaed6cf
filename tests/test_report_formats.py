"""Reports as Markdown and PDF, of two runs, and the one word on trust: what each must say, and never say."""

from __future__ import annotations

import itertools
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from browser import needs_chromium
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader
from sample_graph import sample_graph
from sample_interactions import MARY, sample_interactions
from test_report import Page
from test_report_page import FREE, FROZEN, SECTIONS, hostile_cards, hostile_graph, verdicts, whole_graph

from circuits.cli.main import run
from circuits.errors import CircuitsError, Incompatible, MissingPackage, UsageError
from circuits.query.contrast import contrast
from circuits.query.why import why
from circuits.report import report, save_report
from circuits.report.contents import contents
from circuits.report.markdown import markdown
from circuits.report.material import Material
from circuits.report.pdf import chromium, printed
from circuits.report.trust import MEANINGS, Standing, standing

GOOD = (0.9, 0.9, 0.1)
CASES = {
    "confirmed": [(*GOOD, (5, 5), (7, 10)), (0.7, 0.7, 0.3, (5, 5), (10, 10))],
    "partial": [
        (*GOOD, (5, 5), (6, 10)),  # too few hold freely
        (0.69, 0.9, 0.1, (5, 5), (9, 10)),
        (0.9, 0.69, 0.1, (5, 5), (9, 10)),
        (0.9, 0.9, 0.31, (5, 5), (9, 10)),
        (0.9, float("nan"), 0.1, (5, 5), (9, 10)),
    ],
    "weak": [(0.39, 0.9, 0.1, None, None), (*GOOD, (5, 5), (3, 10)), (float("nan"), 0.9, 0.1, None, None)],
    "untested": [(*GOOD, None, None), (*GOOD, (5, 5), None)],
    "refuted": [(*GOOD, (4, 5), (10, 10)), (0.1, 0.1, 0.9, (0, 1), None)],
}


@pytest.mark.parametrize(("word", "numbers"), [(w, n) for w, cases in CASES.items() for n in cases])
def test_the_word_follows_from_the_numbers(word: str, numbers: tuple) -> None:
    assert Standing(*numbers).word() == word


def held(draw: st.DrawFn) -> tuple[int, int] | None:
    tried = draw(st.integers(0, 20))
    return None if tried == 0 else (draw(st.integers(0, tried)), tried)


@given(st.builds(Standing, *[st.floats(0, 1)] * 3, st.composite(held)(), st.composite(held)()))
def test_nothing_is_confirmed_that_was_not_tried(one: Standing) -> None:
    word = one.word()
    assert word in MEANINGS
    if one.frozen is None or one.free is None:
        assert word != "confirmed"
    if one.frozen is not None and one.frozen[0] < one.frozen[1]:
        assert word == "refuted"


def test_what_was_forced_on_another_model_confirms_nothing_but_refutes() -> None:
    graph = whole_graph()
    forced = replace(graph, verdicts=graph.verdicts.with_columns(forced=pl.lit(value=True)))
    assert standing(forced, why(forced)).frozen is None  # type: ignore[union-attr]
    assert standing(forced, why(forced)).word() == "untested"  # type: ignore[union-attr]
    wrong = replace(
        graph, verdicts=verdicts(("20/59@13", FROZEN, -1.2, 3.0, False), ("20/59@13", FREE, 1, 1, True))
    )
    bad = replace(wrong, verdicts=wrong.verdicts.with_columns(forced=pl.lit(value=True)))
    for one in (wrong, bad):
        assert standing(one, why(one)).word() == "refuted"  # type: ignore[union-attr]
        assert 'data-word="refuted"' in report(one)


def test_three_sentences_come_first_and_none_is_told_twice() -> None:
    answer = why(sample_interactions())
    made = contents(Material.of(sample_interactions(), answer=answer), interactive=False)
    told = next(block for block in made.sections[0].blocks if block.kind == "finding")
    assert len(told.first) == 3
    assert told.first[0] == answer.finding[0]
    assert "together contribute" in told.first[1]
    assert sorted((*told.first, *told.more)) == sorted(s for s in answer.finding if s != answer.meta["trust"])


# ------------------------------------------------------------------------------ Markdown


def test_markdown_has_the_sections_and_rectangular_tables() -> None:
    text = markdown(contents(Material.of(whole_graph()), interactive=False))
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(SECTIONS.values())
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    features = why(whole_graph()).tables["features"]
    for node, label in features.select("node", "label").iter_rows():
        assert f"| {node} |" in text
        assert (label or "").split("→")[-1].strip()[:6].replace("[", "\\[") in text


def test_markdown_takes_no_text_for_markup() -> None:
    text = markdown(contents(Material.of(hostile_graph(), cards=hostile_cards()), interactive=False))
    outside = re.sub(r"^(`{3,})[a-z]*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"<[^>]*>?", outside)) <= {"<br>"}
    assert not re.search(r"(?<!\\)[`\[\]~]", outside)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u2028\u2029]", text)
    assert max(len(word) for word in outside.split()) < 400
    for table in re.findall(r"(?:^\|.*\n)+", outside, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


# ------------------------------------------------------------------------------ two runs


def other_run():
    """The sample graph with one feature gone quiet: what is said of the two differs."""
    graph = sample_graph()
    weaker = pl.when(pl.col("source") == "24/1042@13").then(pl.col("weight") / 2).otherwise(pl.col("weight"))
    return replace(graph, edges=graph.edges.with_columns(weight=weaker)).with_meta(run="other/ioi")


def test_two_runs_on_a_page_both_prompts_and_the_tables_of_the_contrast() -> None:
    graph, other = sample_graph().with_meta(run="first/ioi"), other_run()  # folders of one name
    text = report(graph, against=other)
    page = Page(text)
    answer = contrast(graph, other)
    assert sum(attrs.get("class") == "prompt" for _, attrs in page.seen) == 2
    said = " ".join("".join(page.text).replace("\u00a0", " ").split())
    for sentence in answer.finding:
        assert " ".join(sentence.split()) in said
    names = [name for name in ("totals", "words", "features", "edges") if len(answer.tables[name])]
    assert "totals" in names
    for name in names:
        cells, table = page.cells[f"diff-{name}"], answer.tables[name]
        changes = [float(row["change"]) for row in table.iter_rows(named=True)]
        column = [c for c in table.columns if c in _shown(table)].index("change")
        assert [float(row[column]) for row in cells] == changes
    ids = [attrs["id"] for _, attrs in page.seen if attrs.get("id")]
    assert len(ids) == len(set(ids))
    headings = [attrs["id"] for tag, attrs in page.seen if tag == "section"]
    assert headings[:3] == ["answer", "trust", "difference"]


def _shown(table: pl.DataFrame) -> list[str]:
    from circuits.query.answer import printed

    return printed(table)


def test_two_runs_are_trusted_no_more_than_the_weaker() -> None:
    tried, quiet = whole_graph(), other_run().with_meta(run="run/quiet")  # partial, untested
    for first, second in ((tried, quiet), (quiet, tried)):
        page = report(first, against=second)
        assert 'data-word="untested"' in page
        assert "These are the numbers of quiet, the less to be trusted" in page
    same = report(tried, against=tried)
    assert 'data-word="partial"' in same
    for page in (same, report(tried)):
        assert "the less to be trusted" not in page


def test_a_run_of_another_dictionary_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    one = sample_graph().with_meta(dictionary={"kind": "transcoder", "fingerprint": "a" * 16})
    two = sample_graph().with_meta(dictionary={"kind": "transcoder", "fingerprint": "b" * 16})
    with pytest.raises(Incompatible):
        save_report(one, tmp_path / "two.html", against=two)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ files


@pytest.mark.parametrize("name", ["report.svg", "report", "report.html.gz"])
def test_a_suffix_that_says_nothing_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.html, \.md or \.pdf"):
        save_report(sample_graph(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_a_browser_a_pdf_is_refused_in_one_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CIRCUITS_CHROMIUM", raising=False)
    monkeypatch.setattr("circuits.report.pdf.PLACES", ())
    with pytest.raises(MissingPackage, match=r"none is on this machine.*CIRCUITS_CHROMIUM"):
        save_report(sample_graph(), tmp_path / "out" / "r.pdf")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingPackage, match="CIRCUITS_CHROMIUM names nosuch"):
        chromium({"CIRCUITS_CHROMIUM": "nosuch"})


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no display >&2; exit 3", "exit code 3.*no display"),
        ("exit 0", "printed nothing"),
        ("sleep 9", "more than 0.2 s"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the browser")
def test_a_browser_that_fails_leaves_nothing(script: str, said: str, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\n{script}\n")
    browser.chmod(0o755)
    with pytest.raises(CircuitsError, match=said):
        printed(
            "<p>x</p>", tmp_path / "r.pdf", browser=str(browser), seconds=0.2 if "sleep" in script else 20
        )
    assert [path.name for path in tmp_path.iterdir()] == ["browser"]


@needs_chromium
def test_a_pdf_holds_every_section_unfolded(tmp_path: Path) -> None:
    path = save_report(whole_graph(), tmp_path / "r.pdf")
    sheets = PdfReader(path)
    text = " ".join(" ".join(sheet.extract_text() for sheet in sheets.pages).split())
    for heading in itertools.islice(SECTIONS.values(), 1, None):
        assert heading in text, heading
    for folded in ("9ab31e77c2", "Confirmed: all hold with all else held", "What acts most against it"):
        assert folded in text
    assert len(sheets.outline) > 0
    wide = [sheet.mediabox.width > sheet.mediabox.height for sheet in sheets.pages]
    assert sum(wide) == 1  # the graph lies across
    assert [path.name for path in tmp_path.iterdir()] == ["r.pdf"]


def test_the_target_of_the_verdicts_is_the_answers() -> None:
    graph = whole_graph()
    assert standing(graph, why(graph, MARY)).free == (1, 2)  # type: ignore[union-attr]
    assert standing(graph, why(graph, "logit:John")).free is None  # type: ignore[union-attr]


# ------------------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, and one whose features are another dictionary's."""
    folder = tmp_path_factory.mktemp("runs")
    whole_graph().save(folder / "first")
    other_run().save(folder / "other")
    foreign = {"kind": "transcoder", "spec": "elsewhere", "fingerprint": "f" * 16}
    sample_graph().with_meta(dictionary=foreign).save(folder / "foreign")
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run(["report", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_writes_each_format_and_says_so(runs: Path, tmp_path: Path, capsys) -> None:
    begin = {"a.html": "<!DOCTYPE html>", "b.md": "# Why", "c.txt": "# Why"}
    for name, start in begin.items():
        words = ["--format", "md"] if name == "c.txt" else []
        code, out, _ = call(capsys, runs / "first", "-o", tmp_path / name, *words, "--json")
        assert code == 0
        assert json.loads(out)["format"] == ("html" if name == "a.html" else "md")
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    code, _, _ = call(capsys, runs / "first", "--against", runs / "other", "-o", tmp_path / "d.html")
    assert code == 0
    assert 'data-table="diff-totals"' in (tmp_path / "d.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--against", "RUNS/foreign"), 4, "dictionar"),
        (("--against", "RUNS/nosuch"), 3, "No run at"),
        (("--cards", "RUNS/nosuch"), 3, "No cards at"),
        (("--target", "logit:Peter"), 3, "Peter"),
        (("--format", "docx"), 2, "html, md, pdf"),
    ],
)
def test_what_cannot_be_written_is_one_sentence_and_no_file(
    words: tuple[str, ...], code: int, said: str, runs: Path, tmp_path: Path, capsys
) -> None:
    asked = [word.replace("RUNS", str(runs)) for word in words]
    found, out, err = call(capsys, runs / "first", "-o", tmp_path / "r.html", *asked, "--quiet")
    assert (found, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_cards_of_another_dictionary_are_left_out_with_a_note(
    runs: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    def refused(spec: str, fingerprint: str) -> None:
        raise Incompatible(f"cards of another dictionary than {spec} {fingerprint}.")

    monkeypatch.setattr("circuits.cards.store.find_cards", refused)
    code, _, err = call(capsys, runs / "foreign", "-o", tmp_path / "r.html")
    assert code == 0
    assert "written without cards" in " ".join(err.split())
    assert "circuits describe elsewhere" in (tmp_path / "r.html").read_text(encoding="utf-8")
