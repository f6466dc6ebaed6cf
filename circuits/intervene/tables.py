"""The features of a layer that respond while MLPs are held: what they read, their gates, what they write.

Everything is read from the dictionary's own rows, as many as are needed, and from the residual stream of
the pass; nothing of a trace, and no edge of a graph, is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from circuits.errors import UsageError
from circuits.graph.actions import Affine
from circuits.intervene.places import Feature
from circuits.intervene.recorded import Recorded
from circuits.schema import GATES

Terms = tuple[tuple[Float[Tensor, "u d"], Float[Tensor, "f"] | None], ...]
"""Rows of features, and what multiplies each occurrence (None: 1)."""


@dataclass(frozen=True, eq=False)
class Table:
    """f occurrences, by position, of u features of one layer.

    Attributes:
        layer: where they are.
        position: of each occurrence, ascending.
        place: of each occurrence in `ids`.
        ids: the features.
        pre_activation: recorded z.
        threshold: recorded, so that a top-k selection stays what it was.
        gate: how an activation follows from z.
        reads: what they read at the read site.
        writes: what they write at the write site, by layer written into.
        responds: 1 for those that respond, 0 for those the graph never expanded: they stay as recorded
            unless acted on, as the graph has it.
    """

    layer: int
    position: Int[Tensor, "f"]
    place: Int[Tensor, "f"]
    ids: Int[Tensor, "u"]
    pre_activation: Float[Tensor, "f"]
    threshold: Float[Tensor, "f"]
    gate: str
    reads: Terms
    writes: tuple[tuple[int, Float[Tensor, "u d"], Float[Tensor, "f"] | None], ...]
    responds: Float[Tensor, "f"]

    @cached_property
    def activation(self) -> Float[Tensor, "f"]:
        """Gives the recorded activations."""
        return self.activations(self.pre_activation)

    @cached_property
    def index(self) -> Mapping[Feature, int]:
        """Gives the row of each occurrence."""
        ids = self.ids[self.place].tolist()
        return {
            Feature(self.layer, i, p): row
            for row, (i, p) in enumerate(zip(ids, self.position.tolist(), strict=True))
        }

    def activations(self, z: Float[Tensor, "*B f"]) -> Float[Tensor, "*B f"]:
        """Gives the activations of pre-activations."""
        return GATE_FUNCTIONS[self.gate](z, self.threshold)

    def read(self, moved: Float[Tensor, "B m d"], start: int) -> Float[Tensor, "B f"]:
        """Gives how pre-activations move with what is read; features before `start` stay."""
        z = moved.new_zeros(len(moved), len(self.position))
        for p, span in self._spans(start):
            for rows, times in self.reads:
                part = moved[:, p - start] @ rows[self.place[span]].T
                z[:, span] += part if times is None else part * times[span]
        return z * self.responds

    def written(
        self, change: Float[Tensor, "B f"], term: int, shape: tuple[int, int]
    ) -> Float[Tensor, "B m d"]:
        """Gives what changes of activations add where one of `writes` goes.

        Args:
            change: of the activations.
            term: which of `writes`.
            shape: the first position, and how many.
        """
        _, rows, times = self.writes[term]
        start, m = shape
        total = change.new_zeros(len(change), m, rows.shape[1])
        for p, span in self._spans(start):
            part = change[:, span] if times is None else change[:, span] * times[span]
            total[:, p - start] = part @ rows[self.place[span]]
        return total

    def _spans(self, start: int) -> Iterator[tuple[int, slice]]:
        at = 0
        for p, count in self._counts:
            if p >= start:
                yield p, slice(at, at + count)
            at += count

    @cached_property
    def _counts(self) -> list[tuple[int, int]]:
        found, counts = torch.unique_consecutive(self.position, return_counts=True)
        return list(zip(found.tolist(), counts.tolist(), strict=True))


Numbers = tuple[Float[Tensor, "f"], Float[Tensor, "f"], str]
"""Pre-activations, thresholds and the gate of some occurrences."""


def table(
    recorded: Recorded,
    layer: int,
    places: Sequence[Feature],
    numbers: Numbers | None = None,
    responds: Sequence[bool] | None = None,
) -> Table:
    """Gives the table of some features of a layer, each at a position.

    Args:
        recorded: the untouched pass.
        layer: the layer.
        places: the features, any order; none twice.
        numbers: what is recorded of them, in their order; the dictionary is asked unless given.
        responds: which of them respond; all unless given.
    """
    order = sorted(range(len(places)), key=lambda i: (places[i].pos, places[i].id))
    position = torch.tensor([places[i].pos for i in order], dtype=torch.long)
    feature = torch.tensor([places[i].id for i in order], dtype=torch.long)
    ids, place = torch.unique(feature, return_inverse=True)
    x = recorded.features_input(layer)
    dictionary = recorded.frozen.dictionary
    if numbers is None:
        numbers = _encoded(recorded, layer, position, feature)
        z, threshold, gate = numbers
    else:
        z, threshold, gate = (numbers[0][order], numbers[1][order], numbers[2])
    if gate not in GATE_FUNCTIONS:
        raise UsageError(f"Features of layer {layer} have the gate {gate!r}, which is none of {GATES}.")
    return Table(
        layer=layer,
        position=position,
        place=place,
        ids=ids,
        pre_activation=z.to(x),
        threshold=threshold.to(x),
        gate=gate,
        reads=tuple(
            (term.rows.take(ids), None if term.coefficient is None else term.coefficient[position, feature])
            for term in dictionary.read_terms(layer, x)
        ),
        writes=tuple(
            (
                term.layer,
                term.rows.take(ids),
                None if term.coefficient is None else term.coefficient[position],
            )
            for term in dictionary.write_terms(layer, x)
        ),
        responds=x.new_tensor([1.0 if responds is None else float(responds[i]) for i in order]),
    )


def read_again(recorded: Recorded, made: Table) -> Float[Tensor, "f"]:
    """Gives the pre-activations that the dictionary's rows read of the untouched pass."""
    layer, feature = made.layer, made.ids[made.place]
    x = recorded.features_input(layer)
    z = torch.zeros_like(made.pre_activation)
    for term, (rows, times) in zip(recorded.frozen.dictionary.read_terms(layer, x), made.reads, strict=True):
        seen = (x[made.position] * rows[made.place]).sum(dim=1)
        z += seen if times is None else seen * times
        if term.bias is not None:
            z += term.bias[feature] if term.bias.ndim == 1 else term.bias[made.position, feature]
    return z


def acted(made: Table, acts: Sequence[Mapping[Feature, Affine]]) -> tuple[Tensor, Tensor, Tensor] | None:
    """Gives scale, offset and whether anything is done, (B, f) each; None where nothing is."""
    rows, columns, done = [], [], []
    for b, one in enumerate(acts):
        for feature, affine in one.items():
            column = made.index.get(feature)
            if column is not None:
                rows.append(b)
                columns.append(column)
                done.append(affine)
    if not rows:
        return None
    shape = (len(acts), len(made.position))
    scale = made.pre_activation.new_ones(shape)
    offset, touched = torch.zeros_like(scale), torch.zeros(shape, dtype=torch.bool)
    scale[rows, columns] = scale.new_tensor([d.scale for d in done])
    offset[rows, columns] = scale.new_tensor([d.offset for d in done])
    touched[rows, columns] = True
    return scale, offset, touched


def _encoded(
    recorded: Recorded, layer: int, position: Int[Tensor, "f"], feature: Int[Tensor, "f"]
) -> Numbers:
    encoding = recorded.encoding(layer)
    z = encoding.pre_activation[position, feature]
    threshold = torch.zeros_like(z) if encoding.threshold is None else encoding.threshold[position, feature]
    return z, threshold, encoding.gate


def _above(z: Tensor, threshold: Tensor) -> Tensor:
    return z * (z > threshold)


GATE_FUNCTIONS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "linear": lambda z, _: z,
    "relu": lambda z, _: z.relu(),
    "jumprelu": _above,
    "topk": _above,
    "abstopk": lambda z, threshold: z * (z.abs() > threshold),
    "gelu": lambda z, _: functional.gelu(z),
    "gelu_tanh": lambda z, _: functional.gelu(z, approximate="tanh"),
    "silu": lambda z, _: functional.silu(z),
    "tanh": lambda z, _: torch.tanh(z),
}
"""The functions behind the names in `circuits.schema.GATES`."""
assert set(GATE_FUNCTIONS) == set(GATES)
