"""A surrogate of a game: gates fitted from what was seen of them, a product kernel for what they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cholesky, solve_triangular

from circuits.engine.games.design import Design
from circuits.engine.games.game import Coalitions, Gated
from circuits.engine.games.kernel import LEARNT_ON, Kernel, learn
from circuits.engine.games.mediate import curves
from circuits.engine.games.network import Network, chosen, fit_network
from circuits.engine.games.ridge import ridge

CENTRES = 2048
"""Coalitions at which kernels stand, at most."""

FOLDS = 8
"""Parts the sampled coalitions are split into, each predicted from the others, at most."""

ENOUGH = 1 - 1e-8
"""Explained share above which no other surrogate is tried."""

NETWORKS = 4
"""Networks of gates, at most, each fitted without the folds whose number leaves its own as remainder."""

JITTER = 1e-10
"""Added to the kernel's diagonal: it is singular to rounding where players hardly matter."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What was learnt of a game by asking: coalitions, their worths, the pre-activations of its gates.

    Attributes:
        design: the coalitions.
        worths: of each.
        gates: pre-activations, no column where the game shows none.
        fold: by coalition, one of `FOLDS` parts, complements together; −1 for sizes that are whole.
    """

    design: Design
    worths: Float[np.ndarray, "m"]
    gates: Float[np.ndarray, "m K"]
    fold: Int[np.ndarray, "m"]

    @property
    def players(self) -> int:
        """Gives n."""
        return int(self.design.masks.shape[1])


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A game's stand-in: g(S) = mean + gates(S) + kernels(S), the mean over folds of fits without them.

    Attributes:
        name: "kernel", or "gates and kernel".
        kernel: its parameters.
        centres: coalitions at which kernels stand.
        amount: of the kernel at each.
        networks: each fitted without some folds; none for the kernel alone.
        shape: of the gates' part: one coefficient a player, then one for each gate.
        left: row f: worth less surrogate where fold f was left out; see `circuits.engine.games.ridge`.
        explained: share of the worths' variance explained where a fold was held out, sizes alike.
    """

    name: str
    kernel: Kernel
    centres: Coalitions
    amount: Float[np.ndarray, "c"]
    networks: tuple[Network, ...]
    shape: Float[np.ndarray, "s"]
    left: Float[np.ndarray, "f m"]
    explained: float

    def gates(self, masks: Coalitions) -> Float[np.ndarray, "B"]:
        """Gives the gates' part for each coalition."""
        return np.asarray(masks @ self.shape[: masks.shape[1]] + self.by_gate(masks).sum(axis=1))

    def by_gate(self, masks: Coalitions) -> Float[np.ndarray, "B k"]:
        """Gives what each gate adds, the mean over the networks."""
        return np.asarray(self.by_network(masks) * self.shape[masks.shape[1] :])

    def by_network(self, masks: Coalitions) -> Float[np.ndarray, "B k"]:
        """Gives what each gate adds by the networks alone, no coefficient fitted: the mean of γ_k h_k."""
        total = sum(network.values(masks) for network in self.networks)
        return np.asarray(total / len(self.networks))


def split(design: Design, seed: int) -> Int[np.ndarray, "m"]:
    """Gives each coalition its fold; −1 for sizes that are whole.

    Units of each size are dealt to the folds in turn, so that every fold holds every size; there are
    fewer folds where a size has fewer units.
    """
    n, rng = design.masks.shape[1], np.random.default_rng(seed)
    fold = np.full(len(design.masks), -1)
    small = np.where(design.portion[design.sizes] < 1, np.minimum(design.sizes, n - design.sizes), -1)
    units = {size: np.unique(design.unit[small == size]) for size in np.unique(small[small >= 0])}
    parts = min([FOLDS, *(len(unit) for unit in units.values())])
    dealt = np.full(int(design.unit.max()) + 1, -1)
    for unit in units.values():
        dealt[rng.permutation(unit)] = (np.arange(len(unit)) + rng.integers(parts)) % parts
    sampled = small >= 0
    fold[sampled] = dealt[design.unit[sampled]]
    return fold


def best(seen: Seen, worth: object, seed: int) -> Surrogate:
    """Gives the surrogate that explains most of what it was not fitted to."""
    found = []
    if isinstance(worth, Gated) and seen.gates.shape[1]:
        networks = _networks(seen, worth)
        if networks:
            columns = _with_players(seen.design.masks, out_of_fold(seen, networks))
            found.append(_fitted("gates and kernel", seen, networks, columns, seed))
    if not found or found[0].explained < ENOUGH:
        found.append(_fitted("kernel", seen, (), np.zeros((len(seen.worths), 0)), seed))
    return max(found, key=lambda one: one.explained)


def _networks(seen: Seen, worth: Gated) -> tuple[Network, ...]:
    """Gives the networks, each fitted without its share of the folds; none where no gate bends."""
    design = seen.design
    bent = curves(worth, design.masks, seen.gates, design.weights)
    if not len(bent.gates):
        return ()
    size = bent.values(worth.gates, design.masks, seen.gates).std(axis=0)
    bent = chosen(bent, worth.gates, size)
    found = []
    for number in range(min(NETWORKS, int(seen.fold.max()) + 1)):
        rows = np.flatnonzero((seen.fold < 0) | (seen.fold % NETWORKS != number))
        found.append(
            fit_network(worth.gates, bent, design.masks[rows], seen.gates[rows], design.weights[rows])
        )
    return tuple(found)


def out_of_fold(seen: Seen, networks: tuple[Network, ...]) -> Float[np.ndarray, "m k"]:
    """Gives each network's values on the folds it has not seen, the mean on sizes that are whole."""
    masks = seen.design.masks
    values = np.zeros((len(masks), len(networks[0].curves.gates)))
    for number, network in enumerate(networks):
        rows = np.flatnonzero((seen.fold >= 0) & (seen.fold % NETWORKS == number))
        values[rows] = network.values(masks[rows])
        whole = np.flatnonzero(seen.fold < 0)
        values[whole] += network.values(masks[whole]) / len(networks)
    return values


def _with_players(masks: Coalitions, values: Float[np.ndarray, "B k"]) -> Float[np.ndarray, "B s"]:
    return np.concatenate([masks - 0.5, values, values.sum(axis=1, keepdims=True)], axis=1)


def _fitted(
    name: str, seen: Seen, networks: tuple[Network, ...], columns: Float[np.ndarray, "m s"], seed: int
) -> Surrogate:
    design, worths = seen.design, seen.worths
    mean = design.weights @ worths
    spread = float(np.sqrt(design.weights @ (worths - mean) ** 2)) or 1.0
    players = design.masks.shape[1]
    unit = np.ones(columns.shape[1])
    unit[players:] = 1 / spread
    kernel = _learnt(seen, columns * unit, spread, seed)
    unit *= np.sqrt(kernel.gates)
    centres = design.masks[_centres(seen, CENTRES, seed)]
    matrix = kernel.between(centres, centres)
    matrix[np.diag_indices_from(matrix)] += JITTER
    root = cholesky(matrix, lower=True, check_finite=False)
    raised = solve_triangular(root, kernel.between(centres, design.masks), lower=True, check_finite=False).T
    features = np.concatenate([columns * unit, raised], axis=1)
    fit = ridge(features, (worths - mean) / spread, design, kernel.noise, seen.fold)
    at = columns.shape[1]
    amount = solve_triangular(root, fit.coefficients[at:], lower=True, trans="T", check_finite=False)
    shape = fit.coefficients[:at] * unit * spread
    if networks:
        shape = np.append(shape[:players], shape[players:-1] + shape[-1])
    return Surrogate(
        name=name,
        kernel=kernel,
        centres=centres,
        amount=amount * spread,
        networks=networks,
        shape=shape,
        left=fit.left * spread,
        explained=_explained(seen, fit.left * spread),
    )


def _learnt(seen: Seen, columns: Float[np.ndarray, "m s"], spread: float, seed: int) -> Kernel:
    rows = _centres(seen, LEARNT_ON, seed)
    weights = seen.design.weights[rows]
    return learn(seen.design.masks[rows], seen.worths[rows] / spread, weights / weights.sum(), columns[rows])


def _centres(seen: Seen, most: int, seed: int) -> Int[np.ndarray, "c"]:
    """Gives rows: those of sizes that are whole, at most half, and others drawn at random."""
    rng = np.random.default_rng(seed)
    whole, others = np.flatnonzero(seen.fold < 0), rng.permutation(np.flatnonzero(seen.fold >= 0))
    if len(whole) + len(others) <= most:
        return np.arange(len(seen.fold))
    kept = whole if len(whole) <= most // 2 else rng.permutation(whole)[: most // 2]
    return np.sort(np.concatenate([kept, others[: most - len(kept)]]))


def _explained(seen: Seen, left: Float[np.ndarray, "f m"]) -> float:
    """Gives 1 − (mean square error on held-out folds) / variance, over the sizes that are not whole."""
    rows = np.flatnonzero(seen.fold >= 0)
    error = left[seen.fold[rows], rows]
    weights = seen.design.weights[rows] / seen.design.weights[rows].sum()
    worths = seen.worths[rows]
    variance = weights @ (worths - weights @ worths) ** 2
    return float(1 - weights @ error**2 / variance) if variance > 0 else 1.0
