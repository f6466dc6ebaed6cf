"""What every node brings to one target in all, along every path and with its sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float

from circuits.graph.graph import Graph
from circuits.graph.influence import of_kind, propagate, sums
from circuits.query.kernels import avoiding
from circuits.query.subject import Subject

Column = Float[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Totals:
    """The signed contributions of a graph's nodes to one node's value v, direct and indirect.

    Every feature is held at the ratio ρ of its activation a to its input, which makes the graph linear::

        gain(target) = 1     gain(s) = Σ_t strength(s→t) · ρ(t) · gain(t)
        total(s) = activation(s) · gain(s)
        ρ(t) = a / z, or a / (z − b) where the constants b of t hold it back: 0 < z / (z − b) < 1

    with z its pre-activation, and ρ = 1 at the target itself. So a threshold is charged to the inputs that
    overcome it, in proportion to what each brings; constants that hold back pass on nothing themselves.
    `total` is the sum over all paths from s to the target of the products of their strengths and ratios,
    times the activation. Since the weights into a node add up to z (DESIGN 2.1), what is passed on is what
    arrives, and over the leaves (words, errors, the other constants, features not opened)::

        v = Σ_leaves total(s) + Σ_t lacking(t)

    exactly, `lacking` being what the edges into t leave of z(t), times ρ(t) · gain(t): nothing but rounding
    in a whole graph, what was cut off in a pruned one. This is conservation as in layer-wise relevance
    propagation (Bach et al. 2015), whose rule for biases it refines.

    Attributes:
        subject: the graph and the node asked about.
    """

    subject: Subject

    @property
    def graph(self) -> Graph:
        """Gives the graph."""
        return self.subject.graph

    @cached_property
    def activation(self) -> Column:
        """Gives the activation of every node, 0 where it is unknown."""
        return self._column("activation")

    @cached_property
    def off(self) -> Bool[np.ndarray, "n"]:
        """Tells which features are off: at 0, or so near that it is rounding (1e-9 of the largest)."""
        feature = of_kind(self.graph, "feature")
        size = np.abs(self.activation)
        return np.asarray(feature & (size <= 1e-9 * np.max(size, where=feature, initial=0)))

    @cached_property
    def opened(self) -> Bool[np.ndarray, "n"]:
        """Tells which nodes pass on what arrives: features whose inputs are known, and the target."""
        nodes = self.graph.nodes
        found = (nodes["expanded"] & (nodes["kind"] == "feature")).to_numpy().copy()
        found[self.subject.row] = True
        return found

    @cached_property
    def leaf(self) -> Bool[np.ndarray, "n"]:
        """Tells at which nodes what the target gets begins: they pass nothing on, and are no outputs."""
        return np.asarray(~self.opened & ~of_kind(self.graph, "logit"))

    @cached_property
    def arriving(self) -> Column:
        """Gives the sum of the weights into every node."""
        _, target = self.graph.ends
        weight = self.graph.edges["weight"].to_numpy().astype(np.float64)
        return sums(target, weight, len(self.graph.nodes))

    @cached_property
    def held_back(self) -> Bool[np.ndarray, "n"]:
        """Tells which features' constants hold them back."""
        rest = self._needed - self._constants
        part = np.divide(self._needed, rest, out=np.zeros_like(rest), where=rest != 0)
        return np.asarray(self.opened & (part > 0) & (part < 1) & ~self._target)

    @cached_property
    def ratio(self) -> Column:
        """Gives ρ of every node that is opened, 0 of the others."""
        value = self._needed - np.where(self.held_back, self._constants, 0)
        found = np.zeros(len(value))
        np.divide(self.activation, value, out=found, where=value != 0)
        found[~self.opened] = 0
        found[self.subject.row] = 1
        return found

    @cached_property
    def linear(self) -> sp.csr_array:
        """Gives the linear graph, strength · ρ, row = target, without constants that hold back."""
        return self._scaled("strength", self.ratio)

    @cached_property
    def gain(self) -> Column:
        """Gives what one unit more of every node's activation brings to the target."""
        found = propagate(self.linear, self._target.astype(np.float64))
        found[self.subject.row] = 1
        return found

    @cached_property
    def total(self) -> Column:
        """Gives what every node brings in all; the target's own is its value."""
        found = np.asarray(self.activation * self.gain)
        found[self.subject.row] = self.subject.value
        return found

    def through(self, sets: Bool[np.ndarray, "n k"]) -> Float[np.ndarray, "k"]:
        """Gives what comes to the target along paths through at least one node of each set, each path once.

        Followed back from the target, a path counts where it first comes to a node of the set: the signed
        counterpart of `circuits.graph.influence.through`, and in units of the target.
        """
        gain = avoiding(self.linear, self._target.astype(np.float64), sets)
        return np.asarray(np.where(sets, self.activation[:, None] * gain, 0).sum(axis=0))

    def passing(self, nodes: Sequence[str]) -> Column:
        """Gives what of each node's `total` runs through some nodes: what is lost when these pass nothing on.

        Their own is all theirs; of others it is the sum over the paths that meet one of them. Parts of
        sets of nodes that lie on the same paths overlap, so they do not add up to `total`.

        Args:
            nodes: names of nodes.

        Raises:
            NotFound: one of them is no node of the graph.
        """
        rows = [self.graph.row(node) for node in nodes]
        ratio = self.ratio.copy()
        ratio[rows] = 0
        past = propagate(self._scaled("strength", ratio), self._target.astype(np.float64))
        found = self.activation * (self.gain - past)
        found[self.subject.row] = 0
        found[rows] = self.total[rows]
        return np.asarray(found)

    @cached_property
    def lacking(self) -> Column:
        """Gives what the edges into every node leave of its pre-activation, as it bears on the target."""
        return np.where(self.opened, (self._needed - self.arriving) * self.ratio * self.gain, 0)

    @cached_property
    def passed(self) -> sp.csr_array:
        """Gives what every edge carries to the target in all: weight · ρ · gain, row = target of the edge."""
        return self._scaled("weight", self.ratio * self.gain)

    @cached_property
    def direct(self) -> tuple[Column, Column]:
        """Gives the weights and the strengths of the edges into the target, one number a node."""
        source, target = self.graph.ends
        into = np.flatnonzero(target == self.subject.row)
        weight, strength = (
            sums(
                source[into],
                self.graph.edges[name].to_numpy()[into].astype(np.float64),
                len(self.graph.nodes),
            )
            for name in ("weight", "strength")
        )
        return weight, strength

    @cached_property
    def _needed(self) -> Column:
        """Gives the pre-activation of every node, the sum of what arrives where it was not recorded."""
        known = self.graph.nodes["pre_activation"].to_numpy().astype(np.float64)
        found = np.where(np.isnan(known), self.arriving, known)
        found[self.subject.row] = self.subject.value
        return found

    @cached_property
    def _constants(self) -> Column:
        """Gives the sum of the constants that flow into every node."""
        source, target = self.graph.ends
        mine = np.flatnonzero(of_kind(self.graph, "bias")[source])
        weight = self.graph.edges["weight"].to_numpy()[mine].astype(np.float64)
        return sums(target[mine], weight, len(self.graph.nodes))

    @cached_property
    def _target(self) -> Bool[np.ndarray, "n"]:
        return np.asarray(np.arange(len(self.graph.nodes)) == self.subject.row)

    def _column(self, name: str) -> Column:
        return self.graph.nodes[name].cast(pl.Float64).fill_null(0).to_numpy().copy()

    def _scaled(self, values: str, by: Column) -> sp.csr_array:
        """Gives an edge column as a matrix (row = target), each row times a number; see the class."""
        source, target = self.graph.ends
        size = len(self.graph.nodes)
        pointer = np.zeros(size + 1, np.int64)
        np.cumsum(np.bincount(target, minlength=size), out=pointer[1:])
        scaled = self.graph.edges[values].to_numpy().astype(np.float64) * by[target]
        scaled[of_kind(self.graph, "bias")[source] & self.held_back[target]] = 0
        return sp.csr_array((scaled, source, pointer), shape=(size, size))
