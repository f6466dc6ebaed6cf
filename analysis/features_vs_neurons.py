"""Do features mean something where neurons don't? Asked of the bundled model, with hard negatives.

For twelve concepts, the best feature, the best neuron and a mean-difference probe, chosen on some documents
and scored on others, at equal search budget; beside them random directions and a dictionary of an untrained
model; over three sizes of dictionary. Then what clamping two of the features makes the model say. Writes
`reports/features_vs_neurons.md`, `.json` and `.svg`::

    python analysis/features_vs_neurons.py WORK          # WORK as data/build_corpus.py left it
    python analysis/features_vs_neurons.py WORK --dictionary 8x=DIR --dictionary 32x=DIR

About 6 minutes of one core. The concepts are in `features_vs_neurons_concepts.py`, what they are cut from in
`_texts.py`, the competitors in `_units.py`, the scores in `_scores.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from features_vs_neurons_causal import clamped  # type: ignore[import-not-found]
from features_vs_neurons_concepts import (  # type: ignore[import-not-found]
    CONCEPTS,
    label,
    limited,
    names,
    tokens_of,
)
from features_vs_neurons_contest import Study, compare, matrix  # type: ignore[import-not-found]
from features_vs_neurons_figure import figure  # type: ignore[import-not-found]
from features_vs_neurons_page import page  # type: ignore[import-not-found]
from features_vs_neurons_purity import purity  # type: ignore[import-not-found]
from features_vs_neurons_texts import SPLITS, passages  # type: ignore[import-not-found]
from features_vs_neurons_units import (  # type: ignore[import-not-found]
    STREAM,
    features,
    neuron_inputs,
    neurons,
    random_directions,
    streams,
    train,
    untrained,
)

from circuits.dictionaries.coders import Coders
from circuits.dictionaries.load import load_dictionary
from circuits.models.load import load_model
from circuits.training.tokens import load_sequences

REPORTS: Final = Path(__file__).parent.parent / "reports"
SHIPPED: Final = ("8x=toy-sae-8x", "32x=toy-sae-32x", "100x=toy-sae-100x")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--dictionary", action="append", metavar="NAME=DICTIONARY", help="an SAE to compare")
    parser.add_argument("--control-tokens", type=int, default=400_000, help="to train the untrained model's")
    parser.add_argument("--redraw", action="store_true", help="only the page and figure, from the .json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = REPORTS / "features_vs_neurons.json"
    if not options.redraw:
        file.write_text(json.dumps(measured(options), indent=1) + "\n")
    results = json.loads(file.read_text())
    text = page(results)
    (REPORTS / "features_vs_neurons.md").write_text(text)
    figure(results).savefig(REPORTS / "features_vs_neurons.svg", metadata={"Date": None})
    print(text)


def measured(options: argparse.Namespace) -> Row:
    """Gives all measurements as one JSON-compatible record."""
    specs = dict(spec.split("=", 1) for spec in options.dictionary or SHIPPED)
    study = prepare(options.work, specs, options.control_tokens)
    results: Row = {
        "dictionaries": {
            n: {"features": d.n_features, "fingerprint": d.fingerprint} for n, d in study.dictionaries.items()
        },
        "budget": min(basis.size for basis in study.bases),
        "sizes": {basis.name: basis.size for basis in study.bases},
        "control tokens": options.control_tokens,
        "concepts": compare(study),
    }
    results["matrix"] = {
        name: matrix(study, results["concepts"], name) for name in (*study.dictionaries, "neurons")
    }
    results["purity"] = [purity(basis, study.tokens) for basis in study.bases]
    results["clamped"] = clamped(study, results["concepts"], next(iter(study.dictionaries)), options.work)
    results["cpu seconds"] = round(time.process_time())
    results["load average"] = round(os.getloadavg()[0], 2)
    return results


def prepare(work: Path, specs: Mapping[str, str], control_tokens: int) -> Study:
    """Gives everything to compare, activations included.

    Args:
        work: the directory of `data/build_corpus.py`.
        specs: the dictionaries, by name.
        control_tokens: seen by the dictionary of the untrained model.
    """
    model = load_model("toy")
    found = {name: load_dictionary(spec, model) for name, spec in specs.items()}
    coders = {name: d for name, d in found.items() if isinstance(d, Coders) and d.read_site == STREAM[1]}
    if len(coders) < len(found):
        raise SystemExit(f"{', '.join(found.keys() - coders.keys())}: no SAE of the stream after a block.")
    dictionaries = dict(sorted(coders.items(), key=lambda pair: pair[1].n_features))
    cut, named = passages(work), names(work, model.tokenizer)
    tokens = limited(tokens_of(cut), named)
    labelled = {(c.name, split): label(tokens, named, c, split) for c in CONCEPTS for split in SPLITS}
    seen = streams(model, cut, tokens, [STREAM, *neuron_inputs()])
    stream = seen.pop(STREAM)
    sizes = [d.n_features for d in dictionaries.values()]
    fresh = untrained(model, seed=0)
    sequences = load_sequences(work / "train.npz", fresh)
    place = work / "features_vs_neurons" / f"untrained-{sizes[0]}-{control_tokens}"
    control = train(fresh, sequences, (sizes[0], control_tokens), place)
    bases = (
        *(features(name, dictionary, stream) for name, dictionary in dictionaries.items()),
        neurons(model, seen),
        features("random directions", random_directions(stream, sizes[-1], seed=0), stream),
        features("untrained model", control, streams(fresh, cut, tokens, [STREAM])[STREAM]),
    )
    return Study(model, tuple(cut), tokens, labelled, stream, dictionaries, bases)


if __name__ == "__main__":
    main()
