"""What the kept features leave unexplained: the error nodes of a run, computed from the dictionary anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import Encoding
from circuits.extraction.asked import selection, targets
from circuits.extraction.select import AllActive, Chooser
from circuits.extraction.targets import resolve
from circuits.graph.graph import Graph
from circuits.intervene.recorded import Recorded
from circuits.prompt import Prompt


@dataclass(frozen=True, eq=False)
class Kept:
    """Which features a run kept, as its rule has it; those of a pruned graph are fewer."""

    recorded: Recorded
    chooser: Chooser

    @classmethod
    def of(cls, recorded: Recorded, graph: Graph, prompt: Prompt) -> Kept:
        """Gives the features kept when the run was made."""
        frozen = recorded.frozen
        active = graph.nodes.filter(pl.col("kind") == "feature", pl.col("activation") != 0)
        entry: Mapping[str, object] = graph.meta.get("selection") or {}
        if entry.get("kept") == len(active):
            return cls(recorded, _of_nodes(active))
        rule = selection(entry) or AllActive()
        asked = Prompt(prompt.text, prompt.ids, prompt.tokens, targets(graph) or prompt.targets)
        weights = dict(graph.nodes.select("node", "target_weight").iter_rows())
        aims = [replace(a, weight=weights.get(a.name, a.weight)) for a in resolve(frozen, asked)]
        return cls(recorded, rule.chooser(frozen, aims))

    def error(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives what they, skip connection and constants leave of what the layer writes to the stream."""
        frozen = self.recorded.frozen
        dictionary, run = frozen.dictionary, frozen.forward
        if layer not in dictionary.layers:
            return torch.zeros_like(run.final)  # its MLP passes whole
        x = self.recorded.features_input(layer)
        inner = torch.zeros_like(x)
        for part in (dictionary.constant(layer, x), *self._written(layer)):
            inner = inner if part is None else inner + part
        matrix = dictionary.skip(layer)
        inner = inner if matrix is None else inner + x @ matrix.T
        whole = frozen.after(layer) if frozen.on_stream else run.mlp_out[layer]
        return whole - frozen.write_frame(layer).apply(inner)

    def _written(self, layer: int) -> Iterator[Float[Tensor, "n d"]]:
        """Gives what the features of each layer write into one."""
        dictionary = self.recorded.frozen.dictionary
        for source in dictionary.layers:
            if source > layer:
                return
            x = self.recorded.features_input(source)
            terms = [t for t in dictionary.write_terms(source, x) if t.layer == layer]
            if not terms:
                continue
            ids, active = self._active(source)
            for term in terms:
                times = active if term.coefficient is None else active * term.coefficient[:, None]
                yield times @ term.rows.take(ids)

    def _active(self, layer: int) -> tuple[Int[Tensor, "u"], Float[Tensor, "n u"]]:
        encoding = self.recorded.encoding(layer)
        active = encoding.activation * self.chooser(layer, encoding)
        ids = (active != 0).any(dim=0).nonzero()[:, 0]
        return ids, active[:, ids]


def _of_nodes(active: pl.DataFrame) -> Chooser:
    """Gives the rule that keeps the features of a node table."""
    by_layer = {
        int(key[0]): (torch.tensor(part["pos"].to_list()), torch.tensor(part["feature"].to_list()))
        for key, part in active.partition_by("layer", as_dict=True).items()
    }

    def choose(layer: int, encoding: Encoding) -> Tensor:
        kept = torch.zeros_like(encoding.activation, dtype=torch.bool)
        if layer in by_layer:
            kept[by_layer[layer]] = True
        return kept

    return choose
