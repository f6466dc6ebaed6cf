"""Explanations through a stub of an endpoint on this machine: right ones score near 1, others near ½."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import planted_cards as planted
import pytest

from circuits.cards.endpoint import Endpoint
from circuits.cards.explanations import (
    DETECT,
    EXPLAIN,
    FUZZ,
    LONGEST,
    detection,
    explain_all,
    explanations_path,
    load_explanations,
    marked,
)
from circuits.cards.record import Context
from circuits.cards.settings import Describing
from circuits.errors import CircuitsError, InvalidFile, UsageError

HOW = Describing(top=12, per_bin=0, before=2, after=1, sample=64)
NAMES = {"on": planted.CITIES, "word": (planted.VERB,), "pair": (planted.STATE,)}


def knows(asked: dict) -> str:
    """Plays a model that sees through the planted features, and judges by the explanation it is given."""
    system, question = (message["content"] for message in asked["messages"])
    if system == EXPLAIN:
        inside = set(re.findall(r"« (w[a-z])»", question))
        return "tokens " + " ".join(sorted(inside))
    explanation, _, listed = question.partition("\n\nTexts:\n")
    wanted = set(re.findall(r"\bw[a-z]\b", explanation))
    texts = [line.partition(". ")[2] for line in listed.split("\n")]
    if system == DETECT:
        return json.dumps([int(bool(wanted & set(text.split()))) for text in texts])
    assert system == FUZZ
    return json.dumps([int(set(re.findall(r"« (w[a-z])»", text)) <= wanted) for text in texts])


@contextlib.contextmanager
def serving(answer, before=()) -> Iterator[tuple[str, list]]:
    """Serves chat completions on this machine; `before` are statuses given to the first requests."""
    seen: list = []
    statuses = list(before)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, dict(self.headers), body))
            status = statuses.pop(0) if statuses else 200
            text = answer(body) if status == 200 else "busy"
            sent = {"choices": [{"message": {"content": text}}]} if isinstance(text, str) else text
            raw = json.dumps(sent).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def endpoint(url: str, **changes) -> Endpoint:
    return Endpoint(url, "stub", **({"pause": 0, "wait": 0.01} | changes))


@pytest.fixture(scope="module")
def cards():
    with pytest.MonkeyPatch.context() as patch:
        return planted.cards(patch, HOW)[0]


@pytest.fixture
def some(cards):
    return [cards.card(3, planted.FEATURE[name]) for name in NAMES]


def quiet(*_) -> None:
    pass


def test_right_explanations_score_near_one_and_others_near_half(cards, some, tmp_path) -> None:
    with serving(knows) as (url, _):
        said = explain_all(some, cards, endpoint(url), tmp_path / "e.jsonl", quiet)
    for name, tokens in NAMES.items():
        found = said[3, planted.FEATURE[name]]
        assert set(found["text"].split()[1:]) <= {planted.WORDS[i].strip() for i in tokens}
        assert found["fuzzing"] > 0.9
        assert found["by"] == "stub"
    means = {k: sum(entry[k] for entry in said.values()) / 3 for k in ("detection", "fuzzing", "shuffled")}
    assert means["detection"] > 0.75  # by chance a planted token stands in other features' contexts too
    assert abs(means["shuffled"] - 0.5) < 0.2


def test_a_model_that_guesses_scores_half(cards, some, tmp_path) -> None:
    def yes(asked: dict) -> str:
        count = asked["messages"][1]["content"].count("\n") - 2
        return "thing" if asked["messages"][0]["content"] == EXPLAIN else f"All: {[1] * count}"

    with serving(yes) as (url, _):
        said = explain_all(some, cards, endpoint(url), tmp_path / "e.jsonl", quiet)
    assert {(entry["detection"], entry["fuzzing"]) for entry in said.values()} == {(0.5, 0.5)}
    assert all("shuffled" not in entry for entry in said.values())  # all explanations are the same


def test_a_model_that_babbles_has_no_score(cards, some, tmp_path) -> None:
    with serving(lambda _: "no list") as (url, _):
        said = explain_all(some[:1], cards, endpoint(url), tmp_path / "e.jsonl", quiet)
    assert [said[3, 0][name] for name in ("detection", "fuzzing")] == [None, None]


def test_explanations_are_made_from_other_contexts_than_they_are_tested_on(cards, some, tmp_path) -> None:
    with serving(knows) as (url, seen):
        explain_all(some[:1], cards, endpoint(url), tmp_path / "e.jsonl", quiet)
    shown, *tests = (body["messages"][1]["content"] for _, _, body in seen)
    bare = [line.replace("«", "").replace("»", "") for line in shown.split("\n")]
    assert len(bare) == len(some[0].contexts[::2])
    for test in tests:
        assert not any(line in test.replace("«", "").replace("»", "") for line in bare)


def test_what_was_answered_is_not_asked_again(cards, some, tmp_path) -> None:
    path = tmp_path / "e.jsonl"
    count = 0

    def stops(asked: dict) -> str | dict:
        nonlocal count
        count += 1
        return knows(asked) if count <= 5 else {"no": "completion"}

    with serving(stops) as (url, _), pytest.raises(CircuitsError, match="no chat completion"):
        explain_all(some, cards, endpoint(url), path, quiet)
    kept = path.read_text()
    assert len(load_explanations(path, cards)) == 3
    path.write_text(kept + '{"layer": 3, "fea')  # killed while writing
    with serving(knows) as (url, seen):
        said = explain_all(some, cards, endpoint(url), path, quiet)
    assert path.read_text().startswith(kept)
    assert not any(body["messages"][0]["content"] == EXPLAIN for _, _, body in seen)
    assert load_explanations(path, cards) == said
    with serving(knows) as (url, seen):
        explain_all(some, cards, endpoint(url), path, quiet)
    assert seen == []


def test_a_damaged_file_of_explanations_is_refused_by_line(cards, tmp_path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("nonsense\n{}\n")
    with pytest.raises(InvalidFile, match="Line 1"):
        load_explanations(path, cards)
    other = {"layer": 3, "feature": 1, "dictionary": "other", "text": "x"}
    path.write_text(json.dumps(other) + "\n")
    assert load_explanations(path, cards) == {}
    assert explanations_path(tmp_path / "a.npz.cards.parquet") == tmp_path / "a.npz.explanations.jsonl"


def test_busy_endpoints_are_asked_again_and_the_key_is_sent(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with serving(lambda _: "yes", before=(503, 429)) as (url, seen):
        service = Endpoint.of(url + "/", "stub", per_minute=1e6)
        service.wait = 0.01
        assert service.ask("s", "q") == "yes"
    assert len(seen) == 3
    path, headers, body = seen[-1]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body["model"] == "stub"
    assert "secret" not in repr(service)


@pytest.mark.parametrize(("status", "tries"), [(401, 1), (500, 4), (302, 1)])
def test_a_refusal_is_one_sentence(status, tries) -> None:
    refusal = pytest.raises(CircuitsError, match=f"refused with status {status}")
    with serving(lambda _: "yes", before=[status] * 9) as (url, seen), refusal as caught:
        endpoint(url, key="k").ask("s", "q")
    assert len(seen) == tries
    assert str(caught.value).count(". ") == 0


def test_nobody_there_is_one_sentence() -> None:
    with serving(knows) as (url, _):
        pass  # the port is free again
    with pytest.raises(CircuitsError, match="gave no answer in 4 tries"):
        endpoint(url).ask("s", "q")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:80", "ftp://x/y", ""])
def test_what_is_no_address_is_refused(url) -> None:
    with pytest.raises(UsageError, match="no endpoint"):
        Endpoint.of(url, "m")


def test_requests_keep_their_pace(monkeypatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("circuits.cards.endpoint.time.sleep", slept.append)
    with serving(lambda _: "yes") as (url, _):
        service = endpoint(url, pause=100.0)
        service.ask("s", "q")
        assert slept == []
        service.ask("s", "q")
    assert len(slept) == 1
    assert 90 < slept[0] <= 100


def test_what_a_model_says_is_cut_and_marks_escape_controls(cards, some, tmp_path) -> None:
    with serving(lambda _: "x" * 1000) as (url, _):
        said = explain_all(some[:1], cards, endpoint(url), tmp_path / "e.jsonl", quiet)
    assert len(said[3, 0]["text"]) == LONGEST
    context = Context((" a", "\n\u202eb", " c"), (0.0, 2.0, 0.5), 1, 5)
    assert marked(context) == r" a«\n\u202eb» c"


def test_contrast_is_of_features_on_at_other_tokens(cards, some) -> None:
    import random

    question = detection(some[0], cards, random.Random(0))
    cities = {planted.WORDS[i].strip() for i in planted.CITIES}
    right = [text for text, good in zip(question.texts, question.right, strict=True) if good]
    assert all(cities & set(text.split()) for text in right)
    assert 0 < len(right) == len(some[0].contexts[1::2])
