"""Dictionaries by name: what is fetched and how it is read, with a hub and a table of our own making."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from coders_on_disk import FIXTURES, small_model

from circuits.dictionaries import hub
from circuits.dictionaries.formats.compact import save_compact
from circuits.dictionaries.load import load_dictionary
from circuits.errors import InvalidFile, MissingPackage, NotFound, UsageError

from tiny_saes import tiny_clt  # isort: skip

TABLE = """
gpt2-res:
  repo_id: jane/saes
  model: gpt2
  config_overrides: {dataset_path: text, normalize_activations: constant_norm_rescale}
  saes: [{id: blocks.1, path: standard}]
plain:
  repo_id: jane/saes
  model: gpt2
  saes: [{id: layer_1/topk, path: topk}, {id: gone, path: not/there}]
"""


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """Gives a hub that holds one repository, and notes what is asked of it."""
    root, asked = tmp_path / "hub", []
    shutil.copytree(FIXTURES / "sae_lens" / "standard", root / "standard")
    shutil.copytree(FIXTURES / "sae_lens" / "topk", root / "topk")
    save_compact(root / "clt", tiny_clt(small_model()))

    def snapshot(repository, **options):
        asked.append((repository, options))
        if repository != "jane/saes":
            raise OSError("401\n Client Error")
        return str(root)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    return asked


@pytest.fixture
def releases(tmp_path, monkeypatch):
    package = tmp_path / "site" / "sae_lens"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "pretrained_saes.yaml").write_text(TABLE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_a_folder_of_a_repository_is_fetched_alone(remote):
    found = load_dictionary("hf:jane/saes@v2/clt", small_model())
    assert (found.kind, found.layers) == ("clt", (0, 1, 2))
    ((repository, options),) = remote
    assert (repository, options["revision"]) == ("jane/saes", "v2")
    assert options["allow_patterns"] == ["clt", "clt/*"]


def test_hints_are_kept_apart_from_the_name(remote):
    with pytest.raises(UsageError, match="leave out layer=1"):
        load_dictionary("hf:jane/saes/clt?layer=1", small_model())
    assert remote[0][0] == "jane/saes"


@pytest.mark.usefixtures("remote", "releases")
def test_a_release_is_found_without_importing_sae_lens():
    ours = load_dictionary("sae-lens:plain/layer_1/topk", small_model())
    direct = load_dictionary(str(FIXTURES / "sae_lens" / "topk"), small_model())
    assert "sae_lens" not in sys.modules
    (layer,) = direct.layers
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    one, other = ours.encode(layer, x), direct.encode(layer, x)
    torch.testing.assert_close(one.activation, other.activation, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("remote", "releases")
def test_what_sae_lens_adds_to_a_releases_settings_is_added(tmp_path):
    ours = load_dictionary("sae-lens:gpt2-res/blocks.1", small_model())
    (layer,) = ours.layers
    direct = load_dictionary(str(FIXTURES / "sae_lens" / "standard"), small_model())
    x = 7 * torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    scaled = x * x.square().mean(1, keepdim=True).rsqrt()  # what constant_norm_rescale does to inputs
    torch.testing.assert_close(
        ours.encode(layer, x).pre_activation,
        direct.encode(layer, scaled).pre_activation,
        rtol=1e-5,
        atol=1e-5,
    )
    kept = json.loads((tmp_path / "hub" / "standard" / "cfg.json").read_text())
    assert kept["normalize_activations"] == "none"  # the hub's own copy is left alone


@pytest.mark.usefixtures("remote", "releases")
@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("hf:saes", UsageError, "names no repository"),
        ("hf:jane/saes/../secret", UsageError, "leads out of the repository"),
        ("hf:joe/saes/clt", NotFound, "could not be fetched from the hub .OSError: 401 Client Error"),
        ("hf:jane/saes/other", NotFound, "has no 'other'"),
        ("sae-lens:plane/x", NotFound, "no release 'plane'. Did you mean 'plain'"),
        ("sae-lens:plain/topk", NotFound, "has 2 coders, none of them 'topk'"),
        ("sae-lens:plain/gone", NotFound, "has no 'not/there'"),
    ],
)
def test_a_wrong_name_is_told_in_one_sentence(spec, error, message):
    with pytest.raises(error, match=message) as found:
        load_dictionary(spec, small_model())
    assert "\n" not in str(found.value)


@pytest.mark.usefixtures("remote")
def test_without_the_package_the_line_to_install_it_is_told(monkeypatch):
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match="pip install sae-lens"):
        load_dictionary("sae-lens:plain/topk", small_model())


@pytest.mark.usefixtures("remote")
def test_settings_are_added_to_a_coder_that_has_some(tmp_path):
    with pytest.raises(InvalidFile, match="no settings to change"):
        hub._with_settings(tmp_path / "hub" / "clt", "r/i", {"normalize_activations": "none"})
