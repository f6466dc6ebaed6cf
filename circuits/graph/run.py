"""The graph as an executable model: any coalition of its nodes, evaluated in batches by JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph, Masks
from circuits.graph.influence import of_kind, sums
from circuits.graph.runnable import check_gates
from circuits.schema import GATES

Values = Float[np.ndarray, "B T"]


def run(
    graph: Graph,
    masks: Masks | None = None,
    *,
    off: Sequence[str] = (),
    targets: Sequence[str] | None = None,
    batch: int = 1024,
) -> Values:
    """Gives the targets' values when only some nodes stay on, patterns and scales frozen.

    For many calls on one graph make a `Runner` once.

    Args:
        graph: any graph; see `Runner` for what it computes.
        masks: one coalition a row, one node of the node table a column: 1 on, 0 off, or between.
            All on unless given.
        off: names of nodes to switch off in every coalition.
        targets: names of the nodes whose value is asked for; the graph's own unless given.
        batch: coalitions evaluated at once; memory grows with it.

    Returns:
        One row a coalition, one column a target.

    Raises:
        UsageError: masks of a wrong shape or not finite, no target, or a target never expanded.
        NotFound: a name in `off` or `targets` is no node.
    """
    size = len(graph.nodes)
    chosen = np.ones((1, size), bool) if masks is None else np.asarray(masks)
    if len(off):
        rows = [graph.row(name) for name in off]
        chosen = np.where(np.isin(np.arange(size), rows), np.zeros((), chosen.dtype), chosen)
    return Runner(graph, targets=targets, batch=batch)(chosen)


class Runner:
    """Evaluates coalitions on one graph: prepared once, then called on masks.

    An expanded feature's new activation is ``mask · gate(z + Σ_s strength(s) · (a'_s − a_s))``: its
    recorded pre-activation z moved by what its sources changed. Where the incoming weights add up to
    z this is ``mask · gate(Σ_s strength(s) · a'_s)``, DESIGN 2.3; the form with differences is used
    because with everything on it gives the recorded numbers exactly, so that no rounding switches
    on a feature that sits at its threshold. All other nodes (tokens, positions, errors, biases,
    `rest`, features never expanded) are constants: ``a' = mask · a``. A target's value is its
    pre-activation; a mask on the target itself does not change that. Dormant features have
    activation 0 and turn on when their pre-activation passes the threshold.

    Where `players` are given, a mask has a column for each of them instead of one for each node: all
    nodes of a player are on or off together, nodes of no player stay on. What a player's constants do
    is added up once, so that the work no longer grows with their number.

    Features are evaluated level by level (the longest path of features below each), a dense block a
    level over all that comes before: memory is about half the square of the number of features on
    some path to a target, in the precision of the graph's edges. Features on no such path, or that no
    player moves, are not evaluated. float64 graphs run in float64 whatever JAX's global setting, which
    stays as it is.

    Args:
        graph: any graph.
        targets: names of the nodes whose value is asked for: logits or expanded features; the
            graph's own unless given.
        batch: coalitions evaluated at once.
        players: rows of the node table, one sequence a column of the masks, no row twice; every node
            a player of its own unless given.

    Attributes:
        targets: the names of the columns of the result.
        gates: rows of the node table: the features evaluated, those that others react to first.
        level: for each of `gates`, the number of features on the longest path that ends there.

    Raises:
        UsageError: no target, or a target never expanded, or a batch below 1, or a node in two players.
        Incompatible: how a feature responds is unknown.
        NotFound: a target is no node.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        targets: Sequence[str] | None = None,
        batch: int = 1024,
        players: Sequence[Sequence[int]] | None = None,
    ) -> None:
        if batch < 1:
            raise UsageError(f"A batch of {batch} coalitions is empty: give 1 or more.")
        self.targets = list(graph.targets if targets is None else targets)
        self.batch = batch
        self.size = len(graph.nodes) if players is None else len(players)
        self.dtype = np.dtype(np.float64 if graph.edges["weight"].dtype == pl.Float64 else np.float32)
        owner = np.arange(self.size) if players is None else _owners(graph, players)
        with self._precision():
            self._plan = _plan(graph, _target_rows(graph, self.targets), owner, self.dtype)
        levels = self._plan.levels
        self.gates = np.concatenate([np.zeros(0, np.int64), *(level.nodes for level in levels)])
        self.level = np.repeat(np.arange(1, len(levels) + 1), [len(level.nodes) for level in levels])

    def __call__(self, masks: Masks) -> Values:
        """Gives the value of every target (column) under every mask (row).

        Raises:
            UsageError: masks of a wrong shape, or not finite.
        """
        return self._batches(masks, watched=False)[0]

    def observe(self, masks: Masks) -> tuple[Values, Float[np.ndarray, "B K"]]:
        """Gives the targets' values and the pre-activations of `gates`, from the same passes.

        Raises:
            UsageError: masks of a wrong shape, or not finite.
        """
        return self._batches(masks, watched=True)

    def gains(self, slopes: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K T"]:
        """Gives what one unit more of each of `gates` adds to the targets, gates after it being linear.

        Gate j passes on `slopes`[j] times what its pre-activation moves by.
        """
        added = np.zeros((self._plan.width, len(self.targets)))
        added[: len(self._plan.weights)] = np.asarray(self._plan.weights)
        first, stop = len(self._plan.inputs), len(self._plan.inputs) + len(self.gates)
        for level in reversed(self._plan.levels):
            at = slice(level.start, level.start + len(level.nodes))
            weights = np.asarray(level.arrays[0])[:, : len(level.nodes)]
            passed = slopes[at.start - first : at.stop - first, None] * added[at]
            added[: len(weights)] += weights @ passed
        return added[first:stop]

    def _batches(self, masks: Masks, *, watched: bool) -> tuple[Values, Float[np.ndarray, "B K"]]:
        if masks.ndim != 2 or masks.shape[1] != self.size:
            raise UsageError(
                f"Masks have shape {masks.shape} instead of (coalitions, {self.size}): one column a"
                " node of the graph, or a player."
            )
        if not np.isfinite(masks).all():
            raise UsageError("Masks hold NaN or infinity: give numbers, 1 for on and 0 for off.")
        found = np.empty((len(masks), len(self.targets)), self.dtype)
        seen = np.empty((len(masks), len(self.gates) if watched else 0), self.dtype)
        rows = min(self.batch, bucket(len(masks)))  # few shapes, so that little is compiled
        with self._precision():
            for start in range(0, len(masks), rows):
                part = slice(start, start + rows)
                found[part], seen[part] = self._run(masks[part].astype(self.dtype), rows, watched)
        return found, seen

    def _precision(self) -> AbstractContextManager[Any]:
        return jax.enable_x64(True) if self.dtype == np.float64 else nullcontext()

    def _run(
        self, masks: Float[np.ndarray, "b N"], rows: int, watched: bool
    ) -> tuple[Float[np.ndarray, "b T"], Float[np.ndarray, "b K"]]:
        plan, count = self._plan, len(masks)
        masks = np.append(masks, np.ones((count, 1), self.dtype), axis=1)  # owner −1: always on
        # constants move by mask − 1; features stand at 0, no difference, until their level is reached
        moved = np.zeros((rows, plan.width), self.dtype)
        moved[:count, : len(plan.inputs)] = masks[:, plan.inputs] - 1
        values, seen = jnp.asarray(moved), [np.zeros((count, 0), self.dtype)]
        for level in plan.levels:
            mask = np.zeros((rows, level.padded), self.dtype)
            mask[:count, : len(level.nodes)] = masks[:, level.owner]
            values, z = _step(values, mask, level.start, level.arrays, (plan.gates, watched))
            if watched:
                seen.append(np.asarray(z)[:count, : len(level.nodes)])
        found = np.asarray(plan.base + _product(values, plan.weights))[:count]
        return found, np.concatenate(seen, axis=1)


@dataclass(frozen=True)
class _Level:
    """Features that depend on earlier levels only; arrays are padded to few sizes."""

    nodes: Int[np.ndarray, "k"]
    owner: Int[np.ndarray, "k"]  # column of the masks; −1: always on
    start: int
    arrays: tuple[Array, ...]  # weights, base, activation, threshold, gate

    @property
    def padded(self) -> int:
        return int(self.arrays[0].shape[1])


@dataclass(frozen=True)
class _Plan:
    """Columns of the state: players' constants, then features by level; `weights`, `base`: the targets'.

    `inputs` are the columns of the masks that hold constants some target depends on.
    """

    inputs: Int[np.ndarray, "c"]
    levels: tuple[_Level, ...]
    weights: Array
    base: Array
    width: int
    gates: tuple[str, ...]


@partial(jax.jit, static_argnames=("kinds",), donate_argnums=(0,))
def _step(
    values: Array,
    mask: Array,
    start: int | Array,
    arrays: tuple[Array, ...],
    kinds: tuple[tuple[str, ...], bool],
) -> tuple[Array, Array | None]:
    """Gives the state with one level's differences a' − a written at column `start`; z if watched."""
    weights, base, activation, threshold, gate = arrays
    gates, watched = kinds
    z = base + _product(values, weights)
    now = mask * apply_gates(z, threshold, gate, gates)
    return lax.dynamic_update_slice(values, now - activation, (0, start)), z if watched else None


@jax.jit
def _product(values: Array, weights: Array) -> Array:
    """Gives what the first columns of the state, as many as there are weights, add to the targets."""
    return jnp.matmul(values[:, : weights.shape[0]], weights, precision=lax.Precision.HIGHEST)


def apply_gates(z: Array, threshold: Array, number: Array, gates: tuple[str, ...]) -> Array:
    """Gives the activations of pre-activations, the gate of each given by its place in `gates`."""
    found = jnp.zeros_like(z)
    for place, name in enumerate(gates):
        found = jnp.where(number == place, _GATES[name](z, threshold), found)
    return found


_GATES: dict[str, Callable[[Array, Array], Array]] = {
    "linear": lambda z, _: z,
    "relu": lambda z, _: jnp.maximum(z, 0),
    "jumprelu": lambda z, threshold: jnp.where(z > threshold, z, 0),
    "topk": lambda z, threshold: jnp.where(z > threshold, z, 0),
    "abstopk": lambda z, threshold: jnp.where(jnp.abs(z) > threshold, z, 0),
    "gelu": lambda z, _: jax.nn.gelu(z, approximate=False),
    "gelu_tanh": lambda z, _: jax.nn.gelu(z, approximate=True),
    "silu": lambda z, _: jax.nn.silu(z),
    "tanh": lambda z, _: jnp.tanh(z),
}
assert set(_GATES) == set(GATES)


def _target_rows(graph: Graph, names: Sequence[str]) -> Int[np.ndarray, "T"]:
    if not names:
        raise UsageError("No target: the graph names none, so name the nodes whose value you ask for.")
    rows = np.array([graph.row(name) for name in names])
    open_ = graph.nodes["expanded"].to_numpy()
    for name, row in zip(names, rows, strict=True):
        if not open_[row]:
            raise UsageError(f"{name} was not expanded: without its incoming edges it has no value to run.")
    return rows


def _owners(graph: Graph, players: Sequence[Sequence[int]]) -> Int[np.ndarray, "N"]:
    """Gives the player each node belongs to, −1 for none."""
    owner = np.full(len(graph.nodes), -1)
    for player, rows in enumerate(players):
        for row in rows:
            if owner[row] >= 0:
                raise UsageError(
                    f"{graph.nodes['node'][row]} is in player {owner[row]} and in player {player}: players"
                    " must not overlap."
                )
            owner[row] = player
    return owner


def _plan(
    graph: Graph, targets: Int[np.ndarray, "T"], owner: Int[np.ndarray, "N"], dtype: np.dtype[Any]
) -> _Plan:
    """Orders what the targets depend on into levels and lays their weights out as dense blocks."""
    live = of_kind(graph, "feature") & graph.nodes["expanded"].to_numpy()
    effects = _effects(graph, live, dtype)
    needed = _upstream(effects, targets) & _downstream(effects, owner >= 0)
    depth = _depth(effects, live & needed)
    constants = np.flatnonzero(needed & ~live & (owner >= 0))
    inputs, column = np.unique(owner[constants], return_inverse=True)
    added = sp.csr_array(
        (np.ones(len(constants), dtype), (constants, column)), shape=(len(owner), len(inputs))
    )
    check_gates(graph, np.flatnonzero(depth > 0))
    features = np.argsort(depth, kind="stable")[np.count_nonzero(depth == 0) :]
    state = sp.csr_array(sp.hstack([effects @ added, effects[:, features]]))

    def block(nodes: Int[np.ndarray, "k"], before: int) -> Float[np.ndarray, "h k2"]:
        """The weights into `nodes`, transposed, from the first columns of the state; padded."""
        laid = np.zeros((bucket(before), bucket(len(nodes))), dtype)
        laid[:before, : len(nodes)] = state[nodes][:, :before].toarray().T
        return laid

    base = _recorded(graph)
    gates, codes = _gate_codes(graph)
    activation, threshold = (
        graph.nodes[name].fill_null(0).to_numpy() for name in ("activation", "threshold")
    )
    levels, start = [], len(inputs)
    for nodes in np.split(features, np.flatnonzero(np.diff(depth[features])) + 1) if len(features) else []:
        columns = [_padded(values[nodes].astype(dtype)) for values in (base, activation, threshold)]
        arrays = [block(nodes, start), *columns, _padded(codes[nodes])]
        levels.append(_Level(nodes, owner[nodes], start, tuple(jnp.asarray(array) for array in arrays)))
        start += len(nodes)
    width = max([bucket(start), *(level.start + level.padded for level in levels)])
    weights, constant = block(targets, start)[:, : len(targets)], base[targets].astype(dtype)
    return _Plan(inputs, tuple(levels), jnp.asarray(weights), jnp.asarray(constant), width, gates)


def _effects(graph: Graph, live: Bool[np.ndarray, "N"], dtype: np.dtype[Any]) -> sp.csr_array:
    """Gives what one unit of change does: per mask for constants, per activation for live features."""
    source, target = graph.ends
    strength, weight = (graph.edges[name].to_numpy() for name in ("strength", "weight"))
    effect = np.where(live[source], strength, weight).astype(dtype)
    matrix = sp.csr_array((effect, (target, source)), shape=(len(live), len(live)))
    matrix.eliminate_zeros()
    return matrix


def _upstream(effects: sp.csr_array, targets: Int[np.ndarray, "T"]) -> Bool[np.ndarray, "N"]:
    """Gives the nodes that some path leads from to a target; targets only if they lead to another."""
    needed = np.zeros(effects.shape[0], bool)
    asked = np.isin(np.arange(len(needed)), targets)
    for row in range(len(needed) - 1, -1, -1):  # receivers stand after their sources
        if asked[row] or needed[row]:
            needed[effects.indices[effects.indptr[row] : effects.indptr[row + 1]]] = True
    return needed


def _downstream(effects: sp.csr_array, asked: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Gives the nodes asked about and those that some path leads to from them: no other ever moves."""
    moves = asked.copy()
    for row in np.flatnonzero(~asked):
        moves[row] = moves[effects.indices[effects.indptr[row] : effects.indptr[row + 1]]].any()
    return moves


def _depth(effects: sp.csr_array, features: Bool[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    """Gives the number of features on the longest path of `features` ending at each; 0 for others."""
    depth = np.zeros(effects.shape[0], np.int64)
    for row in np.flatnonzero(features):
        sources = effects.indices[effects.indptr[row] : effects.indptr[row + 1]]
        depth[row] = 1 + depth[sources].max(initial=0)
    return depth


def _recorded(graph: Graph) -> Float[np.ndarray, "N"]:
    """Gives the recorded pre-activations; the sum of the incoming weights where none is recorded."""
    _, target = graph.ends
    total = sums(target, graph.edges["weight"].to_numpy(), len(graph.nodes))
    recorded = graph.nodes["pre_activation"]
    return np.where(recorded.is_null(), total, recorded.fill_null(0).to_numpy())


def _gate_codes(graph: Graph) -> tuple[tuple[str, ...], Int[np.ndarray, "N"]]:
    """Gives the gates that occur and, for each node, its gate's place among them."""
    names = graph.nodes["gate"].cast(pl.String)
    present = tuple(name for name in GATES if name in set(names.drop_nulls()))
    place = {name: at for at, name in enumerate(present)}
    return present, np.array([place.get(name, -1) for name in names], np.int8)


def bucket(size: int) -> int:
    """Gives the next of the sizes 8, 12, 16, 24, 32, 48, … so that few shapes are compiled."""
    power = max(3, (max(size, 1) - 1).bit_length())
    return 3 << (power - 2) if power > 3 and size <= 3 << (power - 2) else 1 << power


def _padded(values: np.ndarray) -> np.ndarray:
    return np.pad(values, (0, bucket(len(values)) - len(values)))
