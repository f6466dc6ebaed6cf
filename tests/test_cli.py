"""The command line as its users meet it: results, progress, refusals, exit codes, interruptions."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
import torch
from safetensors.torch import load_file, save_file
from strategies import random_trace
from three_features import EDGES
from three_features import write as write_three_features
from tiny_dictionaries import write_transcoders
from tiny_models import ARCHITECTURES, VOCABULARY, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import circuits
from circuits.cli import console, interrupts, work
from circuits.cli.channels import Asked
from circuits.cli.main import run
from circuits.engine.cache import use_compilation_cache
from circuits.graph.io import load_run
from circuits.trace_io import save_trace

WORDS = ("Mary", "and", "John", "went", "to", "the", "store", ",", "gave", "a", "drink", "France", "Paris")
PROMPT = "Mary and John went to the store"
COMMANDS = ("attribute", "interact", "why", "plot", "report", "info", "estimate", "demo", "train")
FEW = ("--max-features", "30", "--select", "attribution:60")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)  # raises unless stdout is one JSON document and no more


def call(*words: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


def start(*words: object, **options: object) -> subprocess.Popen:
    line = [sys.executable, "-c", "from circuits.cli import main; main()", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, **{**pipes, **options})


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("COLUMNS", raising=False)
        # compiled programs would go to a folder that is gone for the tests that follow
        patch.setattr("circuits.engine.cache.use_compilation_cache", lambda: None)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face directory: a random llama of three layers, one token a word."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    ARCHITECTURES["llama"]().save_pretrained(folder)
    words = ["[UNK]", *WORDS]
    words += [f"w{i}" for i in range(VOCABULARY - len(words))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run. Not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "made"
    done = call("attribute", PROMPT, "--model", model, "-o", path, *FEW, "--seed", 7)
    assert done.code == 0, done.err
    return path


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "three.safetensors"
    write_three_features(path)
    return path


# ------------------------------------------------------------------------------- the whole way


def test_attribute_makes_a_run_that_closes_and_says_how_it_was_made(made: Path, model: Path) -> None:
    graph = load_run(made)
    assert graph.meta["completeness_residual"] <= 1e-5
    assert graph.nodes.filter(kind="feature")["expanded"].sum() == 30
    assert graph.nodes.filter(kind="feature").height == 60
    words = shlex.split(graph.meta["command"])
    assert words[:5] == ["circuits", "attribute", PROMPT, "--model", str(model)]
    assert graph.meta["seed"] == 7
    created = dt.datetime.fromisoformat(graph.meta["created"])
    assert created.utcoffset() == dt.timedelta(0)


def test_the_recorded_command_line_makes_the_same_edges(made: Path, tmp_path: Path) -> None:
    words = shlex.split(load_run(made).meta["command"])[1:]
    words[words.index("-o") + 1] = str(tmp_path / "again")
    assert call(*words).code == 0
    assert load_run(tmp_path / "again").edges.equals(load_run(made).edges)


def test_attribute_prints_the_scores_it_saves_and_what_to_do_next(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a run"
    done = call("attribute", PROMPT, "-m", model, "-o", path, *FEW)
    graph = load_run(path)
    assert f"{len(graph.edges):,}" in done.out
    assert f"{graph.meta['completeness_residual']:.1e}" in done.out
    lines = 0
    for line in re.findall(r"^  (circuits .*?) +#", done.out, re.MULTILINE):
        assert str(path) in shlex.split(line)
        lines += 1
    assert lines == 4


def test_json_of_attribute_tells_the_same(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    told = call("attribute", PROMPT, "-m", model, "-o", path, *FEW, "--json").document
    graph = load_run(path)
    assert (told["nodes"], told["edges"]) == (len(graph.nodes), len(graph.edges))
    assert told["targets"] == graph.targets
    assert told["scores"]["replacement"] == pytest.approx(graph.meta["scores"]["replacement"])


def test_why_answers_about_the_target_it_is_asked(made: Path) -> None:
    graph = load_run(made)
    for target in graph.targets[:2]:
        done = call("why", made, "--target", target, "--json")
        assert done.document["meta"]["target"] == target
    printed = call("why", made, "--target", graph.targets[1]).out
    assert circuits.why(graph, graph.targets[1]).question in printed


def test_why_lists_as_many_features_as_asked(made: Path) -> None:
    for top in (1, 3):
        told = call("why", made, "--top", top, "--json").document
        assert len(told["tables"]["features"]) == top


@pytest.mark.parametrize("width", [60, 80, 120])
def test_an_answer_is_never_wider_than_the_terminal(
    made: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = call("why", made).out.splitlines()
    prose = lines[: next(i for i, line in enumerate(lines) if line.startswith("TOTALS"))]
    assert max(map(len, prose)) <= width
    assert max(map(len, prose)) > width - 15  # and it uses the room there is


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_plot_writes_the_format_its_name_says(made: Path, tmp_path: Path, suffix: str) -> None:
    signs = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    path = tmp_path / f"p.{suffix}"
    assert call("plot", made, "-o", path, "--nodes", 12).code == 0
    assert path.read_bytes().startswith(signs[suffix])


def test_report_writes_a_page_with_the_answer(made: Path, tmp_path: Path) -> None:
    target = load_run(made).targets[1].removeprefix("logit:")
    done = call("report", made, "-o", tmp_path / "r.html", "--target", target, "--json")
    assert done.document["file"] == str(tmp_path / "r.html")
    assert f"Why {target}" in re.sub(r"&#34;|&quot;|\"", "", (tmp_path / "r.html").read_text())


def test_info_tells_what_each_kind_of_path_is(made: Path, model: Path, three: Path, tmp_path: Path) -> None:
    loaded = tiny_model("llama")
    write_transcoders(tmp_path / "dict", loaded, "jumprelu")
    expected = {
        made: {"kind": "run", "nodes": len(load_run(made).nodes)},
        model: {"kind": "model", "layers": 3, "width": 32, "vocabulary": VOCABULARY},
        three: {"kind": "trace", "layers": 2, "active": 3, "tokens": 2},
        tmp_path / "dict": {"kind": "transcoder", "layers": 3, "width": 32, "activation": "jumprelu"},
    }
    for path, facts in expected.items():
        told = call("info", path, "--json").document
        assert facts.items() <= told.items()
        printed = call("info", path)
        assert printed.code == 0
        assert str(path) in printed.out
    fingerprint = call("info", model, "--json").document["fingerprint"]
    assert fingerprint == load_run(made).meta["model"]["fingerprint"]
    described = call("info", tmp_path / "dict", "--json").document["fingerprint"]
    assert described == circuits.load_dictionary(str(tmp_path / "dict"), loaded).fingerprint


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        ("sae_lens/jumprelu", {"kind": "sae", "activation": "jumprelu"}),
        ("sae_lens/skip_transcoder", {"kind": "transcoder", "skip": True}),
        ("sae_lens_flat/v3_topk", {"kind": "sae"}),
    ],
)
def test_info_knows_a_dictionary_by_its_keys(path: str, facts: dict[str, object]) -> None:
    told = call("info", Path(__file__).parent / "fixtures" / path, "--json").document
    assert facts.items() <= told.items()


def test_info_tells_of_a_directory_of_dictionaries_each_part(tmp_path: Path) -> None:
    fixtures = Path(__file__).parent / "fixtures" / "sae_lens"
    for name in ("standard", "jumprelu"):
        shutil.copytree(fixtures / name, tmp_path / "set" / name)
    told = call("info", tmp_path / "set", "--json").document
    assert [part["activation"] for part in told["parts"]] == ["jumprelu", "relu"]
    assert "2 of 2" in call("info", tmp_path / "set").out


def test_info_knows_the_bundled_model_by_name() -> None:
    told = call("info", "toy", "--json").document
    assert {"kind": "model", "layers": 4, "width": 192}.items() <= told.items()


def test_estimate_predicts_the_rows_that_attribute_computes(made: Path, model: Path) -> None:
    told = call("estimate", PROMPT, "-m", model, *FEW, "--json").document
    features = load_run(made).nodes.filter(kind="feature")
    assert told["n_tokens"] == 7
    assert told["features"] == features.height
    assert told["rows"] == features["expanded"].sum() + 10
    assert "60" in call("estimate", PROMPT, "-m", model, *FEW).out


def test_a_difference_and_a_feature_can_be_targets(made: Path, model: Path, tmp_path: Path) -> None:
    feature = load_run(made).nodes.filter(kind="feature", expanded=True)["node"][5]
    words = ("--target", "Mary", "--over", "John", "--feature", feature)
    told = call("attribute", PROMPT, "-m", model, "-o", tmp_path / "r", *FEW, *words, "--json").document
    assert set(told["targets"]) == {"logit:Mary-John", feature}
    parts = {}
    for token in ("Mary", "John"):
        path = tmp_path / token
        call("attribute", PROMPT, "-m", model, "-o", path, *FEW, "--target", token)
        graph = load_run(path)
        parts[token] = graph.nodes.row(graph.row(f"logit:{token}"), named=True)["activation"]
    graph = load_run(tmp_path / "r")
    value = graph.nodes.row(graph.row("logit:Mary-John"), named=True)["activation"]
    assert value == pytest.approx(parts["Mary"] - parts["John"], abs=1e-5)


@pytest.mark.parametrize(
    ("rule", "name"), [("all", "AllActive"), ("norm:0.5", "NormShare"), ("attribution:9", "ByAttribution")]
)
def test_select_chooses_the_rule(model: Path, tmp_path: Path, rule: str, name: str) -> None:
    words = ("--select", rule, "--max-features", 4, "--no-labels")
    call("attribute", PROMPT, "-m", model, "-o", tmp_path / "r", *words)
    graph = load_run(tmp_path / "r")
    assert graph.meta["selection"]["name"] == name
    assert graph.nodes["label"].null_count() == len(graph.nodes)


def test_the_default_of_neurons_keeps_as_many_as_are_expanded() -> None:
    few, many = (work.Source().settings(n).select for n in (100, 9000))
    assert few is None  # extract's own default, 4,000
    assert many.most == 9000


def test_a_kept_trace_gives_the_same_run(model: Path, tmp_path: Path) -> None:
    double = ("--dtype", "float64", "--keep-trace")
    call("attribute", PROMPT, "-m", model, "-o", tmp_path / "a", *FEW, *double)
    assert load_run(tmp_path / "a").meta["completeness_residual"] <= 1e-12
    kept = next((tmp_path / "a").glob("*.safetensors"))
    assert call("attribute", "--trace", kept, "-o", tmp_path / "b", "--max-features", 30).code == 0
    assert load_run(tmp_path / "a").edges.equals(load_run(tmp_path / "b").edges)


# ------------------------------------------------------------------------------- what is loaded


def test_a_trace_file_is_attributed_asked_and_shown_without_torch(three: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from circuits.cli.main import run\n"
        f"assert run(['attribute', '--trace', {str(three)!r}, '-o', 'r', '--tolerance', '0']) == 0\n"
        "for words in (['why', 'r'], ['plot', 'r', '-o', 'r.svg'], ['report', 'r', '-o', 'r.html'],"
        " ['info', 'r']):\n"
        "    assert run(words) == 0\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False False"
    edges = load_run(tmp_path / "r").edges
    found = {(str(s), str(t)): w for s, t, w in edges.select("source", "target", "weight").iter_rows()}
    assert {edge: w for edge, w in found.items() if w} == pytest.approx(dict(EDGES))


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    heavy = "{'torch', 'jax', 'transformers', 'matplotlib', 'polars'}"
    code = (
        f"import sys; from circuits.cli.main import run; code = run({words!r})\n"
        f"print(code, sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"
    assert done.stdout


def test_compiled_programs_are_kept_and_found_again(three: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "CIRCUITS_CACHE": str(tmp_path / "cache")}
    kept = []
    for name in ("a", "b"):
        process = start("attribute", "--trace", three, "-o", tmp_path / name, env=environment)
        _, err = process.communicate()
        assert process.returncode == 0, err
        kept.append({p.name for p in (tmp_path / "cache" / "jax").iterdir() if "atime" not in p.name})
    assert kept[0]
    assert kept[0] == kept[1]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "file"))
    before = jax.config.values["jax_compilation_cache_dir"]
    assert use_compilation_cache() is None
    assert jax.config.values["jax_compilation_cache_dir"] == before


# ------------------------------------------------------------------------------------- refusals


def _nan_model(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _narrow_dictionary(folder: Path) -> Path:
    return write_transcoders(folder, SimpleNamespace(width=16, n_layers=3, dtype=torch.float32), "relu")


def _broken(made: Path, folder: Path, change: str) -> Path:
    shutil.copytree(made, folder)
    edges = folder / "edges.parquet"
    data = edges.read_bytes()
    if change == "truncated":
        edges.write_bytes(data[: len(data) // 2])
    elif change == "tampered":
        edges.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    else:
        (folder / "manifest.json").write_text('{"version": 1')
    return folder


def _cut(three: Path) -> Path:
    three.write_bytes(three.read_bytes()[:-5])
    return three


# name: (exit code, what the sentence says, words); M is the model, T a folder, R a run, F a trace file
REFUSALS = {
    "empty prompt": (2, "prompt is empty", "attribute '' -m M -o T/r"),
    "blank prompt": (2, "prompt is empty", "estimate '  ' -m M"),
    "too long": (2, r"64", f"attribute '{'Mary ' * 65}' -m M -o T/r"),
    "too long to estimate": (2, r"65 tokens .* 64", f"estimate '{'Mary ' * 65}' -m M"),
    "unknown token": (3, "no token 'Peter'", "attribute Mary -m M -o T/r --target Peter"),
    "two tokens": (2, r"2 tokens \('Mary', ','\)", "attribute Mary -m M -o T/r --target Mary,"),
    "NaN weights": (4, "NaN", "attribute Mary -m NAN -o T/r"),
    "dictionary of another width": (4, "width 16", "attribute Mary -m M -d NARROW -o T/r"),
    "no such model": (3, "nosuch", "attribute Mary -m T/nosuch -o T/r"),
    "no such dictionary": (3, "nosuch", "attribute Mary -m M -d T/nosuch -o T/r"),
    "no such trace": (3, "nosuch", "attribute --trace T/nosuch -o T/r"),
    "no such run": (3, "No run at .*nosuch", "why T/nosuch"),
    "no such path": (3, "nothing at .*nosuch", "info T/nosuch"),
    "no such node": (3, "No .*Peter", "why R --target logit:Peter"),
    "a file for a run": (2, "is a file", "why F"),
    "truncated run": (4, "edges", "why TRUNCATED"),
    "tampered run": (4, "edges", "report TAMPERED -o T/r.html"),
    "broken manifest": (4, "manifest", "plot MANIFEST -o T/r.svg"),
    "truncated trace": (4, "three.safetensors", "attribute --trace CUT -o T/r"),
    "nothing known": (4, "no run", "info T"),
    "existing output": (1, "exists.*--overwrite", "attribute Mary -m M -o R"),
    "existing output file": (1, "exists.*--overwrite", "plot R -o T/old.svg"),
    "existing report": (1, "exists.*--overwrite", "report R -o T/old.html"),
    "report of no kind": (2, "which kind of report.*--format", "report R -o T/r.svg"),
    "report of an unknown format": (2, "html, md, pdf, not as 'docx'", "report R -o T/r --format docx"),
    "cards and none": (2, "--no-cards contradict", "report R -o T/r.html --no-cards --cards F"),
    "no run to overwrite": (1, "spares it", "attribute Mary -m M -o T --overwrite"),
    "below a file": (1, "is a file", "attribute Mary -m M -o F/r"),
    "no picture": (2, "gif", "plot R -o T/r.gif"),
    "nothing to explain": (2, "Nothing to explain", "attribute -o T/r"),
    "prompt beside trace": (2, "PROMPT, --dtype", "attribute Mary --trace F --dtype float32 -o T/r"),
    "over nothing": (2, "--over", "attribute Mary -m M -o T/r --over Mary"),
    "over itself": (2, "itself", "attribute Mary -m M -o T/r --target Mary --over Mary"),
    "no rule": (2, "No rule 'best'", "attribute Mary -m M -o T/r --select best"),
    "no number": (2, "No rule 'norm:'", "attribute Mary -m M -o T/r --select norm:"),
    "share out of range": (2, "Share 1.5", "attribute Mary -m M -o T/r --select norm:1.5"),
    "margin out of range": (2, "Margin -1", "attribute Mary -m M -o T/r --dormant-margin -1"),
    "no feature": (2, "is no feature", "attribute Mary -m M -o T/r --feature twelve"),
    "feature out of range": (3, "layer 9", "attribute Mary -m M -o T/r --feature 9/1@0"),
    "tolerance out of range": (2, "Tolerance 2", "attribute Mary -m M -o T/r --tolerance 2"),
    "no gpu": (2, "'gpu'", "attribute Mary -m M -o T/r --device gpu"),
    "no such option": (2, "--nosuch.*circuits why --help", "why R --nosuch"),
    "no such command": (2, "'wyh'", "wyh R"),
    "no output": (2, "'--out'", "attribute Mary"),
    "not a number": (2, "--top.*integer", "why R --top ten"),
}  # fmt: skip


@pytest.fixture
def places(made: Path, model: Path, three: Path, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "old.svg").write_text("an old picture")
    (tmp_path / "old.html").write_text("an old page")
    return {"M": model, "R": made, "F": three, "T": tmp_path}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_one_sentence_and_leave_nothing(name: str, places: dict[str, Path]) -> None:
    code, said, line = REFUSALS[name]
    folder = places["T"]
    makers = {
        "NAN": lambda: _nan_model(places["M"], folder / "nan"),
        "NARROW": lambda: _narrow_dictionary(folder / "narrow"),
        "CUT": lambda: _cut(places["F"]),
        **{
            change.upper(): lambda change=change: _broken(places["R"], folder / change, change)
            for change in ("truncated", "tampered", "manifest")
        },
    }
    words = []
    for word in shlex.split(line):
        first, slash, rest = word.partition("/")
        if first in makers:
            word = str(makers[first]())
        elif first in places:
            word = f"{places[first]}{slash}{rest}"
        words.append(word)
    before = content(folder), content(places["R"])
    plain = call(*words, "--quiet")
    assert (plain.code, plain.out) == (code, ""), plain.err
    assert re.search(said, plain.err), plain.err
    assert plain.err.count("\n") == 1
    assert "Traceback" not in plain.err
    told = call(*words, "--json")
    assert told.code == code
    assert told.document == {
        "error": {"kind": told.document["error"]["kind"], "message": plain.err.strip(), "exit_code": code}
    }
    assert (content(folder), content(places["R"])) == before


def test_overwrite_replaces_runs_and_files(model: Path, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(made, path)
    assert call("attribute", "gave a drink to", "-m", model, "-o", path, *FEW, "--overwrite").code == 0
    assert load_run(path).meta["prompt"]["text"] == "gave a drink to"
    (tmp_path / "p.svg").write_text("old")
    assert call("plot", path, "-o", tmp_path / "p.svg", "--overwrite").code == 0
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
    (tmp_path / "p.html").write_text("old")
    assert call("report", path, "-o", tmp_path / "p.html", "--overwrite").code == 0
    assert "<html" in (tmp_path / "p.html").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"run", "p.svg", "p.html"}


def test_an_existing_output_is_refused_before_the_model_is_loaded(made: Path, tmp_path: Path) -> None:
    done = call("attribute", "Mary", "-m", tmp_path / "nosuch", "-o", made)
    assert (done.code, "exists" in done.err) == (1, True)


@pytest.mark.parametrize("what", ["attribute", "plot", "report"])
def test_a_full_disk_leaves_the_old_state(
    what: str, made: Path, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old"
    shutil.copytree(made, old / "run")
    (old / "p.svg").write_text("old")
    before = content(tmp_path)
    lines = {
        "attribute": ("attribute", "--trace", three, "-o", old / "run", "--overwrite"),
        "plot": ("plot", made, "-o", old / "p.svg", "--overwrite"),
        "report": ("report", made, "-o", old / "new.html"),
    }

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("circuits.files.os.fsync", full)
    done = call(*lines[what], "--quiet")
    assert done.code == 1
    assert re.fullmatch(r"Writing .* failed \(No space left on device\).*\n", done.err)
    assert content(tmp_path) == before


# ------------------------------------------------------------------------------ ends of all kinds


def test_ctrl_c_that_a_library_swallowed_is_not_lost() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts.heard():
        interrupts.check()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is before
    with interrupts.heard():
        interrupts.check()  # a new command starts with nothing pressed


def test_ctrl_c_while_attributing_leaves_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    save_trace(random_trace(3, n=24, features=60), tmp_path / "t.safetensors")
    # compiling, with a cache that is empty, takes long enough to be interrupted
    cold = {**os.environ, "CIRCUITS_CACHE": str(tmp_path_factory.mktemp("cold"))}
    process = start(
        "attribute", "--trace", tmp_path / "t.safetensors", "-o", tmp_path / "runs" / "r", env=cold
    )
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("Attributing") for line in lines)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err.strip()) == ("", "Interrupted: nothing half-written is left.")
    assert {p.name for p in tmp_path.iterdir()} == {"t.safetensors"}


def test_ctrl_c_while_saving_leaves_nothing(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("circuits.files.os.fsync", interrupt)
    before = content(tmp_path)
    done = call("attribute", "--trace", three, "-o", tmp_path / "r", "--json")
    assert (done.code, done.document["error"]["kind"]) == (130, "Interrupted")
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ZeroDivisionError("division by zero"), "Unexpected", "report it: ZeroDivisionError: division by"),
        (MemoryError(), "OutOfMemory", "Out of memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), "OutOfMemory", "Out of memory"),
        (PermissionError(errno.EACCES, "Permission denied", "nodes"), "SystemError", "denied .nodes"),
    ],
)
def test_what_nobody_expected_is_told_in_a_line(
    error: Exception, kind: str, said: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.delenv("CIRCUITS_DEBUG", raising=False)
    monkeypatch.setattr("circuits.graph.io.load_run", fail)
    done = call("why", made, "--json")
    assert (done.code, done.document["error"]["kind"]) == (1, kind)
    assert re.search(said, done.err)
    assert "Traceback" not in done.err
    monkeypatch.setenv("CIRCUITS_DEBUG", "1")
    assert "Traceback" in call("why", made).err


def test_a_reader_who_leaves_early_is_no_error(made: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start("why", made, stdout=write)
    os.close(write)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


# --------------------------------------------------------------------------------------- manners


def test_progress_goes_to_stderr_and_quiet_silences_it(three: Path, tmp_path: Path) -> None:
    loud = call("attribute", "--trace", three, "-o", tmp_path / "a")
    quiet = call("attribute", "--trace", three, "-o", tmp_path / "b", "--quiet")
    assert "Attributing" in loud.err
    assert "Attributing" not in loud.out
    assert quiet.err == ""
    assert len(quiet.out.splitlines()) == len(loud.out.splitlines())


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _on_terminal(*words: object) -> Outcome:
    out, err = _Terminal(), _Terminal()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


def test_a_terminal_gets_a_bar_and_styles_but_no_colours_under_no_color(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    colours = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)[;m\d]*")
    first = _on_terminal("attribute", "--trace", three, "-o", tmp_path / "a")
    assert "rows" in first.err
    assert colours.search(first.err)
    assert "\x1b[1m" in first.out
    monkeypatch.setenv("NO_COLOR", "1")
    second = _on_terminal("attribute", "--trace", three, "-o", tmp_path / "b")
    assert not colours.search(second.out + second.err)
    assert "\x1b" not in call("why", tmp_path / "a").out


def test_without_a_command_the_help_is_shown() -> None:
    done = call()
    assert done.code == 0
    assert all(name in done.out for name in COMMANDS)
    assert call("--version").out == f"circuits {circuits.__version__}\n"


def test_the_shell_can_complete() -> None:
    asked = {"_CIRCUITS_COMPLETE": "complete_bash", "COMP_WORDS": "circuits at", "COMP_CWORD": "1"}
    process = start(env={**os.environ, **asked})
    assert process.communicate()[0].split() == ["attribute"]


def test_json_has_no_nan() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        console.write_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": (2,)}})
    assert json.loads(out.getvalue()) == {"a": None, "b": [None, 1.5], "c": {"d": [2]}}


# ------------------------------------------------------------------------------------------ demo


@pytest.fixture
def tiny_demo(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.cli.demo.PROMPT", PROMPT)
    source = work.Source(model=str(model), select="attribution:40")
    monkeypatch.setattr("circuits.cli.demo.SOURCE", source)
    # neurons have no gates to look into
    monkeypatch.setattr("circuits.cli.demo.LOOKED_AT", Asked(channels=("output",)))
    monkeypatch.setattr("circuits.cli.demo.CONCEPTS", ("Mary=token:Mary", "store=token:store"))


def test_the_demo_answers_writes_a_page_and_can_be_run_again(tiny_demo: None, tmp_path: Path) -> None:
    path = tmp_path / "run" / "demo"
    for _ in range(2):
        done = call("demo", "-o", path)
        assert done.code == 0, done.err
        assert done.out.startswith("Why ")
        assert "<html" in (path / "report.html").read_text()
        assert str(path / "report.html") in done.out
    assert {p.name for p in path.parent.iterdir()} == {"demo"}
    told = call("demo", "-o", path, "--json").document
    assert told["report"] == str(path / "report.html")
    assert told["answer"]["finding"]
    hyperedges = load_run(path).hyperedges
    assert set(hyperedges["channel"]) == {"output"}
    assert ["Mary", "store"] in hyperedges["members"].to_list()


def test_the_demo_spares_what_is_not_its_own(tiny_demo: None, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "mine")
    before = content(tmp_path)
    done = call("demo", "-o", tmp_path / "mine")
    assert (done.code, "not the demo's" in done.err) == (1, True)
    assert content(tmp_path) == before


@pytest.mark.smollm2
def test_smollm2_says_paris_from_prompt_to_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIRCUITS_CACHE")  # the converted model is worth keeping
    path = tmp_path / "france"
    words = ("--max-features", 60, "--select", "attribution:300", "--no-labels")
    told = call("attribute", "The capital of France is", "-o", path, *words, "--json").document
    assert told["targets"][0] == "logit:Paris"
    assert told["completeness_residual"] <= 1e-5
    answer = call("why", path).out
    assert answer.startswith('Why " Paris"?')
    assert call("report", path, "-o", tmp_path / "p.html").code == 0
