"""SAEs of dictionary_learning (Marks, Karvonen and Mueller): one directory a trainer.

``config.json`` holds ``{"trainer": {"dict_class", "activation_dim", "dict_size", "layer", "k",
"submodule_name", ...}, "buffer": {"io": "out", ...}}``, and ``ae.pt`` the state of one of its classes (see
`circuits.dictionaries.formats.dictionary_learning_states`). The library's examples name the stream after
a block resid_post_layer_N; of any other place the user says `PATH?site=mlp_out` or the like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from circuits.dictionaries.coders import Coders, CoderSettings
from circuits.dictionaries.formats.dictionary_learning_states import (
    CLASSES,
    Trained,
    activation_name,
    check_state,
    read_layer,
)
from circuits.dictionaries.formats.sites import Place, hinted_place, hook_name
from circuits.dictionaries.formats.tensor_files import refuse_unknown, words
from circuits.dictionaries.formats.torch_files import State, fingerprint_of, names_in, state_of
from circuits.dictionaries.hints import Hints
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.models.base import Model

NAME: Final = "dictionary_learning (config.json with trainer and dict_class, ae.pt)"


_REFUSED: Final = {
    "IdentityDict": "has no features but the coordinates themselves",
    "CrossCoder": "reads several models or layers at once, and features here sit in one layer",
    "BatchTopKCrossCoder": "reads several models or layers at once, and features here sit in one layer",
}
_HANDLED: Final = words("dict_class activation_dim dict_size k layer submodule_name")
_HARMLESS: Final = words(  # names, and what matters in training only
    "trainer_class lm_name wandb_name device seed steps lr l1_penalty warmup_steps resample_steps"
    " sparsity_warmup_steps decay_start auxk_alpha threshold_beta threshold_start_step top_k_aux"
    " group_fractions group_weights group_sizes bandwidth sparsity_penalty target_l0 sparsity_function"
    " p_start p_end anneal_start sparsity_queue_length n_sparsity_updates k_anneal_steps"
    " sparsity_coeff sparsity_coefficient p next_p lambda_warm_steps weights_temperature"
    " steps_before_annealing sparsity_loss_queue_length adaptive_sparsity_penalty"
)


@dataclass(frozen=True)
class _Saved:
    """One directory, its settings checked.

    Attributes:
        trained: its file and what the settings say of it.
        place: where it sits.
        transcoder: it writes elsewhere than it reads.
    """

    trained: Trained
    place: Place
    transcoder: bool

    def fingerprint(self, state: State) -> str:
        """Gives a hash over settings and weights."""
        trained = self.trained
        settings = {**asdict(self.place), "name": trained.name, "k": trained.k}
        return fingerprint_of(settings, trained.file, state)


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by the keys of its settings."""
    return _settings(path) is not None


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the dictionary of a directory; encoder and decoder stay on disk.

    Raises:
        InvalidFile: unknown settings or classes, pickled code, or tensors that cannot be trusted.
        Incompatible: a class whose features cannot be placed in one layer.
        UsageError: a hint that is missing, or that the settings answer.
    """
    saved = _saved(path, hints)
    state = state_of(saved.trained.file)
    check_state(saved.trained, state)
    layer = read_layer(saved.trained, state, saved.place.layer, model.anatomy.embedding)
    settings = CoderSettings(
        kind="transcoder" if saved.transcoder else "sae",
        read_site=saved.place.reads,
        write_site=saved.place.writes,
        fingerprint=saved.fingerprint(state),
        spec=str(path),
    )
    return Coders([layer], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    saved = _saved(path, hints)
    state = state_of(saved.trained.file)
    m, d = check_state(saved.trained, state)
    return {
        "kind": "transcoder" if saved.transcoder else "sae",
        "layout": NAME,
        "layers": 1,
        "features": m,
        "width": d,
        "activation": activation_name(saved.trained, state),
        "skip": False,
        "reads": hook_name(saved.place.layer, saved.place.reads),
        "writes": hook_name(saved.place.layer, saved.place.writes),
        "bytes": saved.trained.file.stat().st_size,
        "fingerprint": saved.fingerprint(state),
    }


def _settings(path: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Gives the settings of a directory and their file, or None if there are no such keys."""
    if not path.is_dir():
        return None
    for file in sorted(path.glob("*.json")):
        try:
            config = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        trainer = config.get("trainer") if isinstance(config, dict) else None
        if isinstance(trainer, dict) and {"dict_class", "trainer_class"} & trainer.keys():
            return file, config
    return None


def _saved(path: Path, hints: Hints) -> _Saved:
    found = _settings(path)
    if found is None:
        raise InvalidFile(f"{path} has no settings with trainer and dict_class.")
    file, config = found
    refuse_unknown(file, config, frozenset({"trainer", "buffer"}))
    trainer: Mapping[str, Any] = config["trainer"]
    name = trainer.get("dict_class")
    if name in _REFUSED:
        raise Incompatible(f"{file} is of the class {name}, which {_REFUSED[name]}.")
    if name not in CLASSES:
        raise InvalidFile(f"{file} is of the class {name!r}: known are {', '.join(CLASSES)}.")
    refuse_unknown(file, trainer, _HANDLED | _HARMLESS)
    sizes = trainer.get("dict_size"), trainer.get("activation_dim")
    wrong = [
        f"{key} {trainer[key]!r}"
        for key in ("dict_size", "activation_dim", "k")
        if trainer.get(key) is not None and (type(trainer[key]) is not int or trainer[key] < 1)
    ]
    if wrong:
        raise InvalidFile(f"{file} gives {', '.join(wrong)}: whole numbers above 0 are needed.")
    place, transcoder = _place(file, config, hints)
    return _Saved(Trained(_state_file(path), str(name), sizes, trainer.get("k")), place, transcoder)


def _state_file(path: Path) -> Path:
    """Gives the one file of a directory that holds an encoder."""
    files = [f for f in sorted(path.glob("*.pt")) if {"encoder.weight", "W_enc"} & names_in(f)]
    if not files:  # a truncated one has no names; opening it says what is wrong
        files = sorted(path.glob("*.pt"))
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "no file"
        raise InvalidFile(f"{path} holds an encoder in {listed}: one .pt file is expected.")
    return files[0]


def _place(file: Path, config: Mapping[str, Any], hints: Hints) -> tuple[Place, bool]:
    """Gives where a dictionary sits, and whether it is a transcoder.

    The name resid_post_layer_N is that of the library's own examples. Other names are free text.
    """
    trainer, buffer = config["trainer"], config.get("buffer") or {}
    layer, name = trainer.get("layer"), trainer.get("submodule_name")
    if layer is not None and (type(layer) is not int or layer < 0):
        raise InvalidFile(f"{file} gives the layer {layer!r}: a whole number from 0 is needed.")
    through = buffer.get("io", "out") if isinstance(buffer, dict) else None
    if layer is not None and name == f"resid_post_layer_{layer}" and through == "out":
        hints.refuse(NAME, file.parent)
        return Place(layer, "block_out", "block_out"), False
    if layer is not None and hints.layer not in (None, layer):
        raise UsageError(f"{file} says that it belongs to layer {layer}: leave out layer={hints.layer}.")
    place, transcoder = hinted_place(hints, file.parent, layer=layer)
    if transcoder != (through == "in_and_out"):
        raise UsageError(
            f"{file} was trained on {through!r} of {name or 'a module'}: give"
            f" {'reads and writes' if through == 'in_and_out' else 'site'} after its name."
        )
    return place, transcoder
