"""In a notebook: static HTML that any page may show, one-line names, a widget whose state goes both ways."""

import base64
import builtins
import functools
import html
import re
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import ipywidgets
import polars as pl
import pytest
import traitlets
from hostile import HOSTILE
from hostile_graph import hostile_graph
from PIL import Image
from sample_graph import sample_graph
from sample_interactions import sample_interactions
from tiny_models import tiny_model

import circuits
from circuits.errors import MissingPackage, NotFound, UsageError
from circuits.query.contrast import contrast
from circuits.query.paths import paths
from circuits.query.text import percent
from circuits.query.why import why
from circuits.viewer import script, style

TAGS = {
    *("div", "p", "b", "br", "img", "table", "thead", "tbody", "tr"),
    *("th", "td", "bdi", "details", "summary", "pre"),
}
ATTRIBUTES = {"width", "alt", "src", "align", "open"}
"""What GitHub leaves in a notebook's output."""


class Page(HTMLParser):
    """The tags, attributes and texts of a page, and whether its tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag not in ("br", "img"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_graph_shows_its_picture_its_counts_and_its_strongest_features() -> None:
    graph = sample_interactions()
    page = Page(graph._repr_html_())
    assert set(page.tags) <= TAGS
    assert set(page.attributes) <= ATTRIBUTES
    said = " ".join(page.texts)
    assert "When Mary and John went to the store" in said
    assert '" Mary" (68%)' in said
    assert f"{len(graph.nodes)} nodes" in said
    assert f"{len(graph.edges)} edges" in said
    together = graph.hyperedges.filter((pl.col("order") > 1) & pl.col("via").is_null())
    assert f"{len(together)} interactions" in said
    (data,) = page.attributes["src"]
    image = Image.open(BytesIO(base64.b64decode(data.removeprefix("data:image/png;base64,"))))
    assert image.width > 1.4 * int(page.attributes["width"][0]) > 600
    assert len(data) < 100_000
    from circuits.graph.influence import with_influence

    best = with_influence(graph).nodes.filter(kind="feature").sort("influence", descending=True).head(5)
    cells = [text for text in page.texts if text in set(best["node"])]
    assert cells == best["node"].to_list()
    assert percent(best["influence"][0]) in page.texts
    assert graph._repr_html_() == graph._repr_html_()


def test_a_graph_of_nothing_much_is_still_shown() -> None:
    graph = sample_graph().with_nodes(target_weight=pl.lit(0.0), influence=pl.lit(None, pl.Float64))
    page = Page(graph.with_meta(prompt=None, targets=None)._repr_html_())
    assert "img" not in page.tags
    assert "66 nodes" in " ".join(page.texts)


def test_an_answer_shows_its_finding_a_picture_and_its_tables_once() -> None:
    answer = why(sample_interactions(), "logit:Mary")
    page = Page(answer._repr_html_())
    assert set(page.tags) <= TAGS
    assert set(page.attributes) <= ATTRIBUTES
    said = "".join(page.texts)
    for sentence in (answer.question, *answer.finding):
        assert said.count(sentence) == 1
    assert page.tags.count("img") == 1
    tables = [name for name, table in answer.tables.items() if len(table)]
    assert page.tags.count("table") == len(tables)
    assert page.tags.count("details") == len(tables) + 1
    assert len(page.attributes["open"]) == 1
    assert answer.code in said
    long = paths(sample_graph(), k=20)
    assert f"and {len(long.tables['paths']) - 8} more" in "".join(Page(long._repr_html_()).texts)


def test_a_contrast_shows_what_differs() -> None:
    graph = sample_graph()
    same = contrast(graph, graph)
    assert "img" not in Page(same._repr_html_()).tags  # nothing differs: nothing to draw, and no failure


def test_hostile_texts_stay_texts() -> None:
    for made in (hostile_graph(), why(hostile_graph())):
        text = made._repr_html_()
        page = Page(text)
        assert set(page.tags) <= TAGS
        assert set(page.attributes) <= ATTRIBUTES
        assert all(source.startswith("data:image/png;base64,") for source in page.attributes["src"])
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text)
        assert len(text) < 400_000
        assert "<img src=x onerror" in "".join(page.texts) or 'onerror="window' in "".join(page.texts)
        assert max(map(len, page.texts)) < 3_000
    assert html.escape(HOSTILE[1]) in hostile_graph()._repr_html_()


@functools.cache
def public() -> dict[str, Any]:
    graph = hostile_graph()
    long = "a\nb" * 400
    concept = circuits.Concept(long, tuple(graph.nodes["node"]))
    model = tiny_model("llama")
    return {
        "Graph": graph,
        "ConceptGraph": circuits.concept_graph(graph, only=True, loss=0.05),
        "Answer": why(graph),
        "Concept": concept,
        "Grouping": circuits.Grouping(graph, (concept,) * 9, (), {}, pl.DataFrame()),
        "ConceptTest": circuits.concept_test(graph, "a=9/88@9", "b=14/35@1"),
        "Prompt": circuits.Prompt(long, tuple(range(500)), ("\n",) * 500),
        "GraphWidget": graph.widget(),
        "Rows": circuits.Rows(f"SELECT {long}", graph.nodes.select("node"), "code"),
        "Model": model,
        "Neurons": circuits.load_dictionary("neurons", model),
    }


def test_names_are_one_short_line() -> None:
    for name, thing in public().items():
        text = repr(thing)
        assert text.startswith(f"{name}("), text
        assert "\n" not in text
        assert len(text) < 300


def test_the_widget_is_given_the_document_once_and_the_viewer() -> None:
    graph = sample_interactions()
    shown = graph.widget(height=400)
    assert isinstance(shown, ipywidgets.DOMWidget)
    state = shown.get_state()
    assert state["_esm"] == script()
    assert state["_css"] == style()
    assert state["document"]["format"] == "circuits-viewer"
    assert state["document"]["graph"]["totals"]["nodes"] == len(graph.nodes)
    assert state["height"] == 400
    assert [state[name] for name in ("selected", "pinned", "threshold", "view", "groups")] == [
        None, [], None, None, None,
    ]  # fmt: skip
    assert graph.widget(against=graph).document["diff"] is not None
    assert graph.widget(answer=why(graph, "Mary")).document["answer"]["question"].startswith("Why")


def test_the_state_goes_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = sample_graph().widget()
    heard: list[Any] = []
    shown.observe(lambda change: heard.append((change["name"], change["new"])), ["selected", "threshold"])
    groups = {"a": ["tok@1"]}
    shown.set_state({"selected": "24/1042@13", "pinned": ["tok@1"], "threshold": 0.5, "groups": groups})
    assert (shown.selected, shown.pinned, shown.threshold) == ("24/1042@13", ["tok@1"], 0.5)
    assert shown.groups == groups
    assert heard == [("selected", "24/1042@13"), ("threshold", 0.5)]
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(shown.comm, "send", lambda data, **_: sent.append(data))
    shown.selected = None
    shown.view = "concepts"
    told = {key: value for message in sent for key, value in message.get("state", {}).items()}
    assert told == {"selected": None, "view": "concepts"}  # the document does not go over again


def test_the_widget_refuses_what_it_does_not_show() -> None:
    shown = sample_graph().widget()
    with pytest.raises(NotFound, match=r"'24/1042@1' among the 66 .*'24/1042@13'"):
        shown.selected = "24/1042@1"
    with pytest.raises(NotFound, match="nonsense"):
        shown.pinned = ["tok@1", "nonsense"]
    assert shown.pinned == []
    with pytest.raises(traitlets.TraitError, match=r"1\.5"):
        shown.threshold = 1.5
    with pytest.raises(UsageError, match="100 pixels"):
        sample_graph().widget(height=100)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    real = builtins.__import__

    def refusing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "anywidget":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "circuits.notebook.live", raising=False)
    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(MissingPackage, match=r"pip install 'clearbox-circuits\[notebook\]'"):
        sample_graph().widget()
    assert "<table>" in sample_graph()._repr_html_()
