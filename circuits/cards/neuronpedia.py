"""Cards in the layout of Neuronpedia: batches as SAEDashboard writes them, explanations as it imports them.

For every layer a directory `LAYER-SET/` with `batch-N.json` (`model_id`, `layer`, `sae_set`, `features`) and
`explanations/batch-N.jsonl` (`modelId`, `layer`, `index`, `description`, `typeName`,
`explanationModelName`). Numbers that this package does not measure (alignment with neurons, correlations,
the histogram of all logits) are empty lists, as SAEDashboard leaves them where they were not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from circuits.cards.record import Card, Cards, Context
from circuits.cards.settings import BARS, BINS
from circuits.files import atomic

ABOUT: Final = "neuronpedia.json"
"""What was exported: model, dictionary, text, limits."""

BATCH: Final = 1024
"""Features of a batch."""

_EMPTY: Final = (
    "neuron_alignment_indices",
    "neuron_alignment_values",
    "neuron_alignment_l1",
    "correlated_neurons_indices",
    "correlated_neurons_l1",
    "correlated_neurons_pearson",
    "correlated_features_indices",
    "correlated_features_l1",
    "correlated_features_pearson",
    "decoder_weights_dist",
    "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values",
)


def export(
    cards: Cards,
    out: Path,
    said: dict[tuple[int, int], dict[str, Any]] | None = None,
    *,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes all cards, and gives how many features and batches there are.

    Args:
        cards: the cards.
        out: the directory to make.
        said: explanations by a language model; tested labels are given where there is none.
        overwrite: replace the directory.

    Raises:
        OutputExists, WriteFailed: as `circuits.files.atomic`.
    """
    name, kind = Path(cards.meta["model"]["spec"]).name, str(cards.meta["dictionary"]["kind"])
    batches = 0
    with atomic(out, directory=True, overwrite=overwrite) as temporary:
        for (layer,), part in cards.table.group_by("layer", maintain_order=True):
            source = f"{layer}-{kind}"
            place = temporary / source
            (place / "explanations").mkdir(parents=True)
            for number, start in enumerate(range(0, len(part), BATCH)):
                listed = list(Cards(part[start : start + BATCH], cards.meta))
                batch = {
                    "model_id": name,
                    "layer": layer,
                    "sae_set": kind,
                    "features": [feature(card, cards) for card in listed],
                }
                _write(place / f"batch-{number}.json", [batch])
                told = explained(listed, name, source, said or {})
                _write(place / "explanations" / f"batch-{number}.jsonl", told)
                batches += 1
        about = {name: cards.meta[name] for name in ("model", "dictionary", "text", "limits", "tested")}
        _write(temporary / ABOUT, [about])
    return {"features": len(cards), "batches": batches}


def feature(card: Card, cards: Cards) -> dict[str, Any]:
    """Gives a card as an entry of a batch."""
    text = cards.meta["text"]
    width = 2 * card.half / BARS
    inner = max(int(text["length"]) - 2, 1)
    return {
        "feature_index": card.feature,
        **{name: [] for name in _EMPTY},
        "neg_str": [token for token, _ in card.suppressed],
        "neg_values": _rounded(by for _, by in card.suppressed),
        "pos_str": [token for token, _ in card.promoted],
        "pos_values": _rounded(by for _, by in card.promoted),
        "frac_nonzero": card.frequency,
        "freq_hist_data_bar_heights": list(card.bars),
        "freq_hist_data_bar_values": _rounded((bar + 0.5) * width for bar in range(BARS)),
        "n_prompts_total": (text["choosing"] + text["testing"]) // inner,
        "n_tokens_in_prompt": text["length"],
        "dataset": text["source"],
        "activations": [_activation(context, card) for context in card.contexts],
    }


def explained(
    cards: Iterable[Card], model: str, source: str, said: dict[tuple[int, int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Gives what each feature is called, one entry an explanation: by a language model, or a tested label."""
    found = []
    for card in cards:
        told = said.get((card.layer, card.feature))
        text = told["text"] if told else card.labels[0].text if card.labels else None
        if text is None:
            continue
        found.append(
            {
                "modelId": model,
                "layer": source,
                "index": str(card.feature),
                "description": text,
                "typeName": "eleuther_acts_top20" if told else "circuits_tested-label",
                "explanationModelName": told["by"] if told else None,
            }
        )
    return found


def _activation(context: Context, card: Card) -> dict[str, Any]:
    """Gives a context; a bin from -1 means the largest activations, as in SAEDashboard."""
    fifth = 2 * card.half / BINS
    top = context.fifth == BINS
    whole = max(sum(card.bars), 1)
    inside = sum(card.bars[2 * context.fifth - 2 : 2 * context.fifth]) / whole
    return {
        "bin_min": -1 if top else round((context.fifth - 1) * fifth, 4),
        "bin_max": round(card.maximum if top else context.fifth * fifth, 4),
        "bin_contains": -1 if top else round(inside, 6),
        "tokens": list(context.tokens),
        "values": _rounded(context.values),
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 3) for value in values]


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
