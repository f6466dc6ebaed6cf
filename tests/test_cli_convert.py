"""`circuits convert` as a user meets it: the numbers stay, the files change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_dictionaries import write_transcoders
from tiny_folder import tiny_folder

from circuits.cli.main import run
from circuits.dictionaries.load import load_dictionary
from circuits.models.load import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("kind", ["jumprelu", "skip"])
def test_there_and_back_nothing_changes(model: Path, tmp_path: Path, capsys, kind: str) -> None:
    loaded = load_model(str(model))
    write_transcoders(tmp_path / "one", loaded, kind)
    ways = (("one", "two", "sae-lens"), ("two", "three", "circuit-tracer"))
    for source, target, layout in ways:
        asked = ["convert", str(tmp_path / source), "-m", str(model), "-o", str(tmp_path / target)]
        assert run([*asked, "--layout", layout, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["layout"], told["layers"], told["features"]) == (layout, [0, 1, 2], 40)
    one, two, three = (load_dictionary(str(tmp_path / n), loaded) for n in ("one", "two", "three"))
    x = torch.randn(7, loaded.width)
    for layer in range(3):
        for other in (two, three):
            a, b = one.encode(layer, x).activation, other.encode(layer, x).activation
            torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)
    config = json.loads((tmp_path / "two" / "layer_1" / "cfg.json").read_text())
    assert config["metadata"]["model_name"] == "tiny"
    for file in (tmp_path / "one").glob("*.safetensors"):
        assert (tmp_path / "three" / file.name).read_bytes() == file.read_bytes()


def test_the_toys_dictionary_is_for_sae_lens_or_for_half_the_space(tmp_path: Path, capsys) -> None:
    code = run(["convert", "toy", "-m", "toy", "-o", str(tmp_path / "half"), "--store", "float16"])
    said = capsys.readouterr()
    assert (
        code,
        "features in each of 4 layers, circuit-tracer layout" in " ".join(said.out.split()),
    ) == (0, True)
    assert f"circuits info {tmp_path / 'half'}" in said.out


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["neurons"], 2, "the model's own weights"),
        (["missing"], 3, "No dictionary 'missing'"),
        (["FROM", "--layout", "sae-lens"], 2, "no top-k transcoders"),
        (["FROM", "-o", "FROM"], 1, "exists"),
        (["FROM", "-o", "BUSY", "--overwrite"], 1, "is no dictionary, so --overwrite spares it"),
    ],
)
def test_refusals(model: Path, tmp_path: Path, capsys, extra: list[str], code: int, message: str) -> None:
    places = {"FROM": str(tmp_path / "from"), "BUSY": str(tmp_path / "busy")}
    write_transcoders(tmp_path / "from", load_model(str(model)), "topk")
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "notes.txt").write_text("mine")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    named = [places.get(word, word) for word in extra]
    found = run(["convert", "-m", str(model), "-o", str(tmp_path / "new"), "-q", *named])
    err = capsys.readouterr().err
    assert (found, message in err, err.count("\n")) == (code, True, 1), err
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


def test_in_place_the_old_files_are_read_before_they_go(model: Path, tmp_path: Path) -> None:
    loaded = load_model(str(model))
    place = write_transcoders(tmp_path / "one", loaded, "jumprelu")
    x = torch.randn(7, loaded.width)
    before = load_dictionary(str(place), loaded).encode(1, x).activation
    asked = ["convert", str(place), "-m", str(model), "-o", str(place), "-q", "--overwrite"]
    assert run([*asked, "--layout", "sae-lens"]) == 0
    assert sorted(path.name for path in place.iterdir()) == ["layer_0", "layer_1", "layer_2"]
    torch.testing.assert_close(load_dictionary(str(place), loaded).encode(1, x).activation, before)
