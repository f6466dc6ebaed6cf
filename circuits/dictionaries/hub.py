"""Dictionaries by name: from the Hugging Face hub, and by the release names of sae-lens.

``hf:OWNER/REPO/FOLDER`` fetches a folder of a repository (``hf:OWNER/REPO@REVISION/FOLDER`` one revision of
it), ``sae-lens:RELEASE/ID`` what sae-lens knows by these two names, such as
``sae-lens:gpt2-small-res-jb/blocks.5.hook_resid_pre``. The names stand in a table inside the installed
package sae-lens, which is read without importing it: it would take seconds. What is fetched is kept in the
hub's own cache, and then read like any other path.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml
from huggingface_hub import snapshot_download

from circuits.errors import InvalidFile, MissingPackage, NotFound, UsageError, near_matches
from circuits.files import atomic, cache_root

HUB: Final = "hf:"
RELEASES: Final = "sae-lens:"
TABLE: Final = "pretrained_saes.yaml"
_NAMES_ONLY: Final = {"dataset_path", "model_name", "neuronpedia_id"}
"""Settings a release may add that say where a coder comes from, and nothing about its numbers."""


def is_named(spec: str) -> bool:
    """Tells whether a dictionary is given by a name on the hub."""
    return spec.startswith((HUB, RELEASES))


def fetch(spec: str) -> Path:
    """Gives the local path of a dictionary on the hub, fetching what is not there yet.

    Args:
        spec: ``hf:OWNER/REPO[@REVISION][/FOLDER]`` or ``sae-lens:RELEASE/ID``.

    Raises:
        UsageError: another form.
        MissingPackage: the package sae-lens, which knows the releases, is not installed.
        NotFound: no such release, repository or folder, or no connection.
        InvalidFile: a release changes settings that its files do not have.

    Example:
        >>> fetch("sae-lens:gpt2-small-res-jb/blocks.5.hook_resid_pre")  # doctest: +SKIP
    """
    if spec.startswith(RELEASES):
        return _released(spec.removeprefix(RELEASES))
    found = re.fullmatch(r"([^/@\s]+/[^/@\s]+)(?:@([^/\s]+))?(?:/(.+))?", spec.removeprefix(HUB))
    if found is None:
        raise UsageError(
            f"{spec} names no repository: write hf:OWNER/REPO/FOLDER, such as hf:me/saes/layer_5."
        )
    return _folder(found[1], found[3] or "", found[2])


def _released(name: str) -> Path:
    """Gives the path of what sae-lens knows by a release and an id."""
    release, _, coder = name.partition("/")
    table = _table()
    if release not in table:
        raise NotFound(f"sae-lens knows no release {release!r}.{near_matches(release, list(table))}")
    entry = table[release]
    paths = {str(each["id"]): str(each["path"]) for each in entry["saes"]}
    if coder not in paths:
        raise NotFound(
            f"The release {release} has {len(paths)} coders, none of them {coder!r}: the first are"
            f" {', '.join(list(paths)[:3])}.{near_matches(coder, list(paths))}"
        )
    place = _folder(str(entry["repo_id"]), paths[coder], None)
    added = {
        key: value for key, value in (entry.get("config_overrides") or {}).items() if key not in _NAMES_ONLY
    }
    return _with_settings(place, f"{release}/{coder}", added) if added else place


def _table() -> Mapping[str, Any]:
    """Gives sae-lens's table of releases."""
    found = importlib.util.find_spec("sae_lens")
    files = [Path(folder) / TABLE for folder in (found.submodule_search_locations or ())] if found else []
    for file in files:
        if file.is_file():
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # much the faster, where there is libyaml
            loaded: Mapping[str, Any] = yaml.load(file.read_text(), Loader=loader)  # noqa: S506 - both are safe
            return loaded
    raise MissingPackage(
        "The names of releases stand in the package sae-lens, which is not installed. Run this line:\n"
        "pip install sae-lens"
    )


def _folder(repository: str, folder: str, revision: str | None) -> Path:
    """Gives a folder or file of a repository, fetched."""
    if ".." in PurePosixPath(folder).parts:
        raise UsageError(f"{folder} leads out of the repository {repository}.")
    try:
        root = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=[folder, f"{folder}/*"] if folder else None,
            ignore_patterns=["*.bin", "*.pkl", "*.pickle"],  # never read, so never fetched
        )
    except Exception as cause:
        reason = " ".join(str(cause).split())[:200]
        raise NotFound(
            f"{repository} could not be fetched from the hub ({type(cause).__name__}: {reason}): check the"
            " name, the connection, and for gated repositories `hf auth login`."
        ) from cause
    place = Path(root) / folder
    if not place.exists():
        raise NotFound(f"The repository {repository} has no {folder!r}.")
    return place


def _with_settings(place: Path, name: str, added: Mapping[str, Any]) -> Path:
    """Gives a copy of a coder's directory whose settings have some more: sae-lens adds them on loading."""
    settings = [file for file in sorted(place.glob("*.json")) if "d_in" in file.read_text()]
    if len(settings) != 1:
        raise InvalidFile(
            f"sae-lens changes {', '.join(added)} of {name} on loading, but {place} has no settings to"
            " change."
        )
    target = cache_root() / "dictionaries" / name
    with atomic(target, directory=True, overwrite=True) as temporary:
        for file in place.iterdir():
            if file != settings[0]:
                (temporary / file.name).symlink_to(file.resolve())
        config = {**json.loads(settings[0].read_text()), **added}
        (temporary / settings[0].name).write_text(json.dumps(config))
    return target
