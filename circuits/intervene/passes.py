"""One batched pass: what B interventions change, layer by layer.

The pass carries the change of the residual stream, not the stream: what is held still is then exact, and
nothing before the first position and layer that is touched is computed. What a block does with a change
is in `moves`; here is the order of a block, and where features, errors and embeddings come in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.graph.actions import Affine
from circuits.intervene.hold import Hold
from circuits.intervene.moves import (
    added_moved,
    attention_moved,
    mlp_moved,
    norm_moved,
    passing_moved,
)
from circuits.intervene.now import Gate, additions, evaluate
from circuits.intervene.places import Acts, Feature
from circuits.intervene.recorded import Recorded
from circuits.intervene.tables import Table, acted

Moved = Float[Tensor, "B m d"]


@dataclass(frozen=True)
class Asked:
    """What one pass needs to know.

    Attributes:
        hold: what is held still.
        tables: the features that respond while MLPs are held, by layer.
        extra: features acted on that are not among them, by layer; they respond where acted on.
        gates: of the layers with features that are evaluated as the stream now is.
        errors: what the dictionary left unexplained, by layer.
        watched: features whose pre-activation is asked for.
    """

    hold: Hold
    tables: Mapping[int, Table]
    extra: Mapping[int, Table]
    gates: Mapping[int, Gate]
    errors: Mapping[int, Float[Tensor, "n d"]]
    watched: Sequence[Feature]


@dataclass
class Pass:
    """B interventions on one prompt, together.

    Attributes:
        recorded: the untouched pass.
        asked: what is held, and which features there are.
        acts: what is done, features written out by position.
        start: the first position anything is done at, and the first layer.
        seen: how the pre-activation of each watched feature changed, B numbers.
    """

    recorded: Recorded
    asked: Asked
    acts: Sequence[Acts]
    start: tuple[int, int]
    seen: dict[Feature, Float[Tensor, "B"]] = field(default_factory=dict)
    _pending: dict[int, Moved] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = range(self.recorded.frozen.model.n_layers)
        self._done: list[list[dict[Feature, Affine]]] = [[{} for _ in self.acts] for _ in layers]
        for b, one in enumerate(self.acts):
            for feature, affine in one.features.items():
                self._done[feature.layer][b][feature] = affine

    def logits(self) -> Float[Tensor, "B v"]:
        """Gives how the logits at the last position change, before any softcap."""
        run, anatomy = self.recorded.frozen.forward, self.recorded.frozen.model.anatomy
        moved = self._embedded()
        for layer in range(self.start[1], len(anatomy.layers)):
            moved = self._block(layer, moved)
        held = self.asked.hold.at(len(anatomy.layers)).norms
        final = (run.final, run.final_scale)
        return norm_moved(anatomy.final_norm, final, moved[:, -1:], held=held)[:, 0] @ anatomy.unembedding.T

    def _embedded(self) -> Moved:
        """Gives the change at the first layer: none, but for embeddings that are scaled."""
        frozen = self.recorded.frozen
        anatomy, ids = frozen.model.anatomy, frozen.forward.ids
        first, m = self.start[0], frozen.n_positions - self.start[0]
        moved = frozen.forward.final.new_zeros(len(self.acts), m, frozen.model.width)
        for b, one in enumerate(self.acts):
            for p, factor in one.token.items():
                moved[b, p - first] += (factor - 1) * anatomy.embedding_scale * anatomy.embedding[ids[p]]
            for p, factor in one.position.items():
                assert anatomy.position_embedding is not None, "`placed` has checked it"
                moved[b, p - first] += (factor - 1) * anatomy.position_embedding[p]
        return moved

    def _block(self, layer: int, moved: Moved) -> Moved:
        """Gives the change after a block from the change before it."""
        frozen, hold = self.recorded.frozen, self.asked.hold.at(layer)
        parts, run = self.recorded.parts(layer), frozen.forward
        untouched = not moved.any()  # what nothing has reached yet changes nothing
        middle = moved if untouched else moved + attention_moved(self.recorded, layer, moved, hold)
        below = moved if frozen.model.anatomy.parallel else middle
        x = norm_moved(parts.mlp_norm, (run.mlp_in[layer], run.mlp_scale[layer]), below, held=hold.norms)
        if hold.mlps:
            after = self._held_mlp(layer, middle, (below, x), hold)
        else:
            after = self._own_mlp(layer, middle, (below, x), hold)
        for b, one in enumerate(self.acts):
            for (at, p), factor in one.error.items():
                if at == layer:
                    after[b, p - self.start[0]] += (factor - 1) * self.asked.errors[layer][p]
        return after

    def _own_mlp(self, layer: int, middle: Moved, under: tuple[Moved, Moved], hold: Hold) -> Moved:
        """Gives the change after a block whose own MLP runs, and what acting on features adds."""
        dictionary = self.recorded.frozen.dictionary
        y = mlp_moved(self.recorded, layer, under[1]) if under[1].any() else torch.zeros_like(middle)
        read, write = dictionary.read_site, dictionary.write_site
        if read not in ("mlp_added", "block_out"):
            self._act(layer, self._input(layer, under, y, hold))
        if write == "mlp_out":
            y = self._plus_pending(layer, y)
        y = added_moved(self.recorded, layer, y, hold)
        if read == "mlp_added":
            self._act(layer, y)
        if write == "mlp_added":
            y = self._plus_pending(layer, y)
        after = middle + y
        if read == "block_out":
            self._act(layer, after)
        return self._plus_pending(layer, after) if write == "block_out" else after

    def _held_mlp(self, layer: int, middle: Moved, under: tuple[Moved, Moved], hold: Hold) -> Moved:
        """Gives the change after a block in which only features respond; a held MLP passes elsewhere."""
        frozen = self.recorded.frozen
        dictionary = frozen.dictionary
        read, write = dictionary.read_site, dictionary.write_site
        passed = torch.zeros_like(middle)
        if not frozen.replaces_mlp(layer) or read in ("mlp_out", "mlp_added"):
            passed = passing_moved(self.recorded.passing(layer), under[1])
        if not frozen.replaces_mlp(layer):
            after = middle + added_moved(self.recorded, layer, passed, hold)
            if layer not in dictionary.layers:
                return after
            self._respond(layer, after)
            return self._plus_pending(layer, torch.zeros_like(after))  # on the stream, features are all
        if read == "mlp_added":
            x = added_moved(self.recorded, layer, passed, hold)
        else:
            x = self._input(layer, under, passed, hold)
        self._respond(layer, x)
        matrix = dictionary.skip(layer)
        y = torch.zeros_like(middle) if matrix is None else x @ matrix.T
        y = self._plus_pending(layer, y)
        return middle + (added_moved(self.recorded, layer, y, hold) if write == "mlp_out" else y)

    def _input(self, layer: int, under: tuple[Moved, Moved], y: Moved, hold: Hold) -> Moved:
        """Gives the change of what features read that read below the MLP, or its own output."""
        below, x = under
        match self.recorded.frozen.dictionary.read_site:
            case "mlp_in":
                return x
            case "mlp_in_no_gain":
                norm, run = self.recorded.parts(layer).mlp_norm, self.recorded.frozen.forward
                bare = replace(norm, gain=torch.ones_like(norm.gain), bias=None)
                return norm_moved(bare, (run.mlp_in[layer], run.mlp_scale[layer]), below, held=hold.norms)
            case "residual":
                return below
            case _:
                return y

    def _plus_pending(self, layer: int, moved: Moved) -> Moved:
        added = self._pending.pop(layer, None)
        return moved if added is None else moved + added

    def _write(self, into: int, added: Moved) -> None:
        self._pending[into] = self._pending[into] + added if into in self._pending else added

    def _respond(self, layer: int, x: Moved) -> None:
        """Lets the features of a layer respond to a change of what they read, and act on them."""
        for tables, everywhere in ((self.asked.tables, True), (self.asked.extra, False)):
            if layer in tables:
                self._respond_in(tables[layer], x, everywhere=everywhere)

    def _respond_in(self, table: Table, x: Moved, *, everywhere: bool) -> None:
        start, m = self.start[0], x.shape[1]
        z = table.pre_activation + table.read(x, start)
        now = table.activations(z)
        for feature in self.asked.watched:
            if feature in table.index:
                column = table.index[feature]
                self.seen[feature] = z[:, column] - table.pre_activation[column]
        done = acted(table, self._done[table.layer])
        forced = torch.zeros_like(now)  # what acting on features changes beyond their response
        if done is not None:
            forced = torch.where(done[2], done[0] * now + done[1] - now, forced)
        change = forced + now - table.activation
        if not everywhere:
            assert done is not None, "extra features are those acted on"
            change = torch.where(done[2], change, torch.zeros_like(change))
        for term, (into, _, _) in enumerate(table.writes):
            # a later MLP that runs itself knows of responses; only what is done must be added to it
            if self.asked.hold.at(into).mlps:
                self._write(into, table.written(change, term, (start, m)))
            elif done is not None:
                self._write(into, table.written(forced, term, (start, m)))

    def _act(self, layer: int, x: Moved) -> None:
        """Acts on features of a layer, evaluated where the stream now is."""
        dictionary = self.recorded.frozen.dictionary
        watched = [f for f in self.asked.watched if f.layer == layer and (f.pos or 0) >= self.start[0]]
        acting = any(self._done[layer])
        if not (watched or acting):
            return
        now = self.recorded.features_input(layer)[self.start[0] :] + x
        gate = self.asked.gates[layer]
        for feature in watched:
            assert feature.pos is not None
            seen = now[:, feature.pos - self.start[0]]
            still = self.recorded.features_input(layer)[None, feature.pos]
            ids = torch.tensor([feature.id])
            z, recorded = (evaluate(dictionary, layer, at, ids, gate)[0][:, 0] for at in (seen, still))
            self.seen[feature] = z - recorded
        if acting:
            added = additions(dictionary, layer, now, self._done[layer], (self.start[0], gate))
            for into, part in added.items():
                self._write(into, part)
