"""circuit-tracer's own files: the .pt and the document of one graph, made by its own code, and attacks."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest
import torch
from literal_frontend import neuronpedia
from malicious import Attack

import circuits
from circuits.errors import Incompatible, InvalidFile
from circuits.interop.archive import Archive
from circuits.interop.exchange import is_archive
from circuits.interop.problems import schema

MADE = Path(__file__).parent / "fixtures" / "circuit_tracer_graph"
SCORES = json.loads((MADE / "scores.json").read_text())


@pytest.fixture(scope="module")
def saved():
    return circuits.import_graph(MADE / "graph.pt")


@pytest.fixture(scope="module")
def document():
    return circuits.import_graph(MADE / "whole.json")


def edges(graph):
    return {(s, t): w for s, t, w, _ in graph.edges.iter_rows()}


def test_every_number_of_the_file_is_an_edge(saved):
    """The oracle: PyTorch's own reader, circuit-tracer's classes replaced by plain ones."""
    from circuits.interop import archive

    with Archive(MADE / "graph.pt") as opened:
        theirs = opened.contents()
        mine = opened.array(theirs["adjacency_matrix"], "adjacency_matrix")
        active = opened.array(theirs["active_features"], "active_features")
    assert archive.np is np
    whole = torch.load(MADE / "graph.pt", weights_only=False, pickle_module=_Plain)
    assert np.array_equal(mine, whole["adjacency_matrix"].numpy())
    assert np.array_equal(active, whole["active_features"].numpy())
    matrix, chosen = whole["adjacency_matrix"].numpy(), whole["selected_features"].tolist()
    layers, tokens = 3, len(whole["input_tokens"])
    names = [f"{layer}/{feature}@{pos}" for layer, pos, feature in whole["active_features"][chosen].tolist()]
    names += [f"err{layer}@{pos}" for layer in range(layers) for pos in range(tokens)]
    names += [f"tok@{pos}" for pos in range(tokens)]
    names += ["logit:" + _token(target) for target in whole["logit_targets"]]
    assert len(names) == len(matrix)
    expected = {
        (names[s], names[t]): float(matrix[t, s]) for t, s in np.argwhere(matrix).tolist()
    }  # rows are targets
    assert edges(saved) == expected
    values = whole["activation_values"].tolist()
    for name, at in zip(names, chosen, strict=False):
        assert saved.nodes["activation"][saved.row(name)] == pytest.approx(values[at])


def _token(target):
    return target.args[0] if hasattr(target, "args") else target[0]


class _Plain:
    """A pickle module for PyTorch whose every unknown class is a bag."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if module.startswith("circuit_tracer"):
                return type(name, (_Bag,), {})
            return super().find_class(module, name)

    load = pickle.load


class _Bag:
    def __new__(cls, *args):
        made = super().__new__(cls)
        made.args = args
        return made


def test_scores_are_circuit_tracers(saved, document):
    for graph in (saved, document):
        score = circuits.scores(graph)
        assert score.replacement == pytest.approx(SCORES["replacement"], rel=1e-5)
        assert score.completeness == pytest.approx(SCORES["completeness"], rel=1e-5)
    named = dict(zip(saved.nodes["node"], saved.nodes["influence"], strict=True))
    features = saved.nodes.filter(kind="feature")["node"].to_list()
    theirs = sorted(SCORES["influence"][: len(features)])
    assert sorted(named[name] for name in features) == pytest.approx(theirs, rel=1e-4, abs=1e-7)


def test_both_routes_answer_alike(saved, document):
    assert {k: w for k, w in edges(saved).items() if k in edges(document)} == pytest.approx(edges(document))
    one, other = circuits.why(saved), circuits.why(document)
    assert one.tables["features"]["node"].to_list() == other.tables["features"]["node"].to_list()
    assert one.tables["features"]["influence"].to_list() == pytest.approx(
        other.tables["features"]["influence"].to_list(), rel=1e-3
    )
    assert one.tables["paths"]["nodes"].to_list() == other.tables["paths"]["nodes"].to_list()
    cut_one, cut_other = circuits.cuts(saved), circuits.cuts(document)
    assert cut_one.tables["cut"]["node"].to_list() == cut_other.tables["cut"]["node"].to_list()
    assert not len(cut_one.tables["predicted"])  # nobody knows how the features respond


def test_pruned_by_us_is_pruned_by_them(saved):
    theirs = circuits.import_graph(MADE / "pruned.json")
    ours = saved.prune()
    assert set(ours.nodes["node"]) - {"rest"} == set(theirs.nodes["node"])
    kept = {pair: w for pair, w in edges(ours).items() if pair[0] != "rest"}
    assert kept == pytest.approx(edges(theirs))


def test_ids_shared_by_features_and_errors_were_told_apart(saved, document):
    raw = json.loads((MADE / "whole.json").read_text())
    ids = [node["node_id"] for node in raw["nodes"]]
    assert len(set(ids)) < len(ids)  # circuit-tracer writes them to this day
    assert "notes" not in document.meta["imported"]
    assert set(edges(document)) <= set(edges(saved))


@pytest.mark.parametrize("name", ["graph.pt", "older.pt", "whole.json", "pruned.json"])
def test_it_exports_to_a_file_the_schema_and_the_viewers_accept(name, tmp_path):
    graph = circuits.import_graph(MADE / name)
    out = tmp_path / "out.json"
    circuits.export_graph(graph, out)
    written = json.loads(out.read_text())
    jsonschema.Draft7Validator(schema()).validate(written)
    shown = neuronpedia(out.read_text())
    assert len(shown["nodes"]) == len(graph.nodes)
    assert len(shown["links"]) == len(graph.edges)
    assert not circuits.validate(out)
    back = circuits.import_graph(out)
    assert back.nodes.equals(graph.nodes)
    assert back.edges.equals(graph.edges)


def test_the_first_releases_files_are_read_too(saved):
    older = circuits.import_graph(MADE / "older.pt")
    assert older.edges.drop("source", "target").equals(saved.edges.drop("source", "target"))
    numbers = [target["token_ids"] for target in saved.meta["targets"]]
    assert [target["token_ids"] for target in older.meta["targets"]] == numbers
    assert older.targets == [f"logit:[{number}]" for [number] in numbers]
    assert older.meta["model"]["name"] == "tiny-random"


def test_it_is_a_run_with_a_report_and_refuses_what_it_does_not_know(document, tmp_path):
    document.save(tmp_path / "run")
    graph = circuits.load_run(tmp_path / "run")
    told = str(circuits.why(graph))
    assert "unknown" in told
    assert "nothing is left over" not in told
    circuits.save_report(graph, tmp_path / "report.html", answer=circuits.why(graph))
    page = (tmp_path / "report.html").read_text()
    assert "texas" in page
    assert "made by another program and read from its file whole.json" in page
    assert "imported kept" not in page
    assert circuits.why(graph).tables["trust"].row(by_predicate=pl.col("score") == "left over")[1] is None
    for ask in (
        lambda: circuits.needs(graph, "texas"),
        lambda: circuits.breaks(graph, ["texas"]),
        lambda: circuits.minimal(graph),
        graph.run,
    ):
        with pytest.raises(Incompatible, match=r"how|How .* unknown .*--gate relu"):
            ask()


def test_taken_as_relu_it_runs(document):
    graph = circuits.import_graph(MADE / "whole.json", gate="relu")
    rows = graph.nodes.filter(kind="feature")
    assert set(rows["gate"].cast(str)) == {"relu"}
    assert rows["pre_activation"].equals(rows["activation"])
    before = graph.run()[0]
    without = graph.run(off=["1/0@5"])[0]
    direct = edges(graph)["1/0@5", graph.targets[0]]
    # by hand: layer 2 after it moves, and only there
    moved = direct
    for name, value in rows.filter(layer=2).select("node", "activation").iter_rows():
        step = edges(graph).get(("1/0@5", name), 0.0)
        moved += edges(graph).get((name, graph.targets[0]), 0.0) / value * (value - max(value - step, 0.0))
    assert before[0] - without[0] == pytest.approx(moved, rel=1e-4)
    assert circuits.needs(graph, "texas").finding
    with pytest.raises(circuits.CircuitsError, match="tanh"):
        circuits.import_graph(MADE / "whole.json", gate="tanh")


# files that must not be trusted


def contents(**changed):
    """What a .pt file holds, small: one layer, two words, one feature, one output."""
    size = 1 + 2 + 2 + 1
    matrix = torch.zeros(size, size)
    matrix[0, 3], matrix[5, 0], matrix[5, 2] = 2.0, 3.0, -1.0
    return {
        "input_string": "a b",
        "adjacency_matrix": matrix,
        "cfg": {"n_layers": 1, "model_name": "m"},
        "active_features": torch.tensor([[0, 0, 7]]),
        "selected_features": torch.tensor([0]),
        "activation_values": torch.tensor([1.5]),
        "input_tokens": torch.tensor([4, 5]),
        "logit_targets": [("x", 9)],
        "logit_probabilities": torch.tensor([0.5]),
        "scan": None,
    } | changed


def write(path, **changed):
    torch.save(contents(**changed), path)
    return path


def test_a_small_file_by_hand(tmp_path):
    graph = circuits.import_graph(write(tmp_path / "a.pt"))
    assert edges(graph) == {("tok@0", "0/7@0"): 2.0, ("0/7@0", "logit:x"): 3.0, ("err0@1", "logit:x"): -1.0}
    strengths = {s: u for s, _, _, u in graph.edges.iter_rows()}
    assert strengths["0/7@0"] == 2.0


def test_activations_are_those_of_the_features_chosen(tmp_path):
    active = torch.tensor([[0, 0, 3], [0, 1, 7]])
    for values in (torch.tensor([9.0, 1.5]), torch.tensor([1.5])):  # of all active features, of the chosen
        changed = {"active_features": active, "selected_features": torch.tensor([1])}
        graph = circuits.import_graph(write(tmp_path / "a.pt", **changed, activation_values=values))
        assert graph.nodes["activation"][graph.row("0/7@1")] == 1.5


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_numbers_of_every_width_are_read(kind, tmp_path):
    wanted = contents()["adjacency_matrix"].to(kind)
    graph = circuits.import_graph(write(tmp_path / "a.pt", adjacency_matrix=wanted))
    assert edges(graph)["err0@1", "logit:x"] == -1.0
    flipped = contents()["adjacency_matrix"].T.contiguous().T  # another stride
    assert edges(circuits.import_graph(write(tmp_path / "b.pt", adjacency_matrix=flipped))) == edges(graph)


def nan_matrix():
    matrix = contents()["adjacency_matrix"]
    matrix[5, 0] = float("nan")
    return matrix


def backwards():
    matrix = contents()["adjacency_matrix"]
    matrix[3, 0] = 1.0
    return matrix


BAD = {
    "NaN": ({"adjacency_matrix": nan_matrix()}, r"adjacency_matrix\[5, 0\] is nan"),
    "a cycle": ({"adjacency_matrix": backwards()}, "0/7@0 on tok@0"),
    "a shape": ({"adjacency_matrix": torch.zeros(3, 3)}, r"\(3, 3\) instead of \(6, 6\)"),
    "no tensor": ({"adjacency_matrix": [1, 2]}, "adjacency_matrix is no tensor"),
    "a feature too many": ({"selected_features": torch.tensor([3])}, "beyond the 1 active"),
    "a layer too many": ({"active_features": torch.tensor([[4, 0, 7]])}, "beyond 1 layers"),
    "no layers": ({"cfg": {"model_name": "m"}}, "no number of layers"),
    "outputs": ({"logit_targets": []}, "1 logit_probabilities of 0 outputs"),
    "activations": ({"activation_values": torch.ones(3)}, "3 activation_values of 1 features"),
    "a weird output": ({"logit_targets": [("x", "y")]}, "of 1 outputs"),
    "chances": ({"logit_probabilities": torch.tensor([float("inf")])}, "logit_probabilities hold"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_told(case, tmp_path):
    changed, says = BAD[case]
    with pytest.raises(InvalidFile, match=says):
        circuits.import_graph(write(tmp_path / "a.pt", **changed))


def test_keys_that_are_missing_are_named(tmp_path):
    torch.save({"adjacency_matrix": torch.zeros(1, 1)}, tmp_path / "a.pt")
    with pytest.raises(InvalidFile, match="lacks active_features, selected_features"):
        circuits.import_graph(tmp_path / "a.pt")
    torch.save([1, 2], tmp_path / "b.pt")
    with pytest.raises(InvalidFile, match="no graph of circuit-tracer"):
        circuits.import_graph(tmp_path / "b.pt")


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["cfg", "scan", "input_string", "logit_targets"])
def test_code_is_refused_by_its_name_and_never_run(where, tmp_path):
    target = tmp_path / "made by the attack"
    path = write(tmp_path / "a.pt", **{where: Attack(target)})
    with pytest.raises(InvalidFile, match=r"wants to call (posix|os)\.mkdir"):
        circuits.import_graph(path)
    assert not target.exists()
    for function, args in ((eval, ("1",)), (getattr, (1, "real")), (__import__, ("os",))):
        with pytest.raises(InvalidFile, match=rf"wants to call \w+\.{function.__name__}"):
            circuits.import_graph(write(tmp_path / "b.pt", scan=Calls(function, *args)))


def test_a_pickle_cannot_change_what_it_is_read_with(tmp_path):
    """BUILD with a pair sets attributes of anything: of nothing that outlives the reading."""
    from circuits.interop import archive

    kinds = (archive.Tensor, archive.Record, archive._Named)
    before = [dict(vars(kind)) for kind in kinds]
    names = ("torch._utils _rebuild_tensor_v2", "torch FloatStorage", "circuit_tracer Any", "torch Size")
    for at, name in enumerate((*names, "collections OrderedDict", "torch float32")):
        called = "c" + name.replace(" ", "\n") + "\n"
        program = b"\x80\x02" + called.encode() + b"N}X\x04\x00\x00\x00nameX\x01\x00\x00\x00xs\x86b."
        path = zipped(tmp_path / f"{at}.pt", {"g/data.pkl": program})
        with Archive(path) as opened, contextlib.suppress(InvalidFile):
            opened.contents()
    assert [dict(vars(kind)) for kind in kinds] == before
    assert not hasattr(dict, "name")


def zipped(path, members, **how):
    with zipfile.ZipFile(path, "w", **how) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path):
    bomb = zipped(
        tmp_path / "a.pt",
        {"g/data.pkl": pickle.dumps({}, 2), "g/data/0": b"\0" * 50_000_000},
        compression=zipfile.ZIP_DEFLATED,
    )
    assert bomb.stat().st_size < 100_000
    with pytest.raises(InvalidFile, match="is compressed"):
        circuits.import_graph(bomb)


def test_any_compression_is_refused(tmp_path):
    noise = np.random.default_rng(0).bytes(10_000)  # which no compression makes smaller
    path = tmp_path / "a.pt"
    zipped(path, {"g/data.pkl": noise, "g/data/0": noise}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidFile, match="is compressed"):
        circuits.import_graph(path)


def test_parts_that_overlap_are_refused(tmp_path):
    """A quine of an archive: many entries, one piece of data."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        made.writestr("g/data.pkl", pickle.dumps({}, 2))
        made.writestr("g/data/0", b"\0" * 100_000)
        entry = made.infolist()[1]
        for number in range(1, 50):
            again = zipfile.ZipInfo(f"g/data/{number}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(again, name, getattr(entry, name))
            made.filelist.append(again)
            made.NameToInfo[again.filename] = again
    (tmp_path / "a.pt").write_bytes(data.getvalue())
    with pytest.raises(InvalidFile, match="its parts have"):
        circuits.import_graph(tmp_path / "a.pt")


def test_a_shape_larger_than_its_numbers_is_refused(tmp_path):
    """expand() makes a view of a few numbers of any size."""
    huge = torch.zeros(1).expand(100_000, 100_000)
    with pytest.raises(InvalidFile, match="reaches beyond its 1 numbers"):
        circuits.import_graph(write(tmp_path / "a.pt", adjacency_matrix=huge))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(share, tmp_path):
    data = (MADE / "graph.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidFile, match=r"truncated|no JSON|UTF-8"):
        circuits.import_graph(tmp_path / "a.pt")


def test_a_flipped_bit_is_noticed(tmp_path):
    data = bytearray((MADE / "graph.pt").read_bytes())
    at = data.find(b"data/0") + 2000
    data[at] ^= 1
    (tmp_path / "a.pt").write_bytes(bytes(data))
    with pytest.raises(InvalidFile, match="damaged"):
        circuits.import_graph(tmp_path / "a.pt")


def test_other_archives_are_none(tmp_path):
    path = zipped(tmp_path / "a.zip", {"hello.txt": b"x"})
    assert is_archive(path)
    with pytest.raises(InvalidFile, match=r"holds no data\.pkl"):
        circuits.import_graph(path)
    for junk in (b"", b"\x80\x02junk", pickle.dumps({"a": 1})):
        (tmp_path / "b.pt").write_bytes(junk)
        with pytest.raises(InvalidFile):
            circuits.import_graph(tmp_path / "b.pt")
