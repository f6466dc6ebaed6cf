"""What is known about a planted model: its nodes, its edges, its combinations, its gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from circuits.trace import Trace

GateType = Literal[
    "and", "or", "xor", "not", "inhibit", "majority", "additive", "none", "undecided", "identity"
]
"""What the output is of its concepts.

`inhibit`: the first concept, unless the second is there too. `majority`: at least two of three. `additive`:
a sum of what each does. `none`: the concepts do nothing to the output. `undecided`: it depends on
what else is there, so that no single answer is right.
"""


@dataclass(frozen=True)
class Connection:
    """An edge of a planted model.

    Attributes:
        source: node name; constants are "bias:own".
        target: node name.
        weight: the contribution of the source, at its activation, to the target's pre-activation.
        strength: the same per unit of the source's activation.
        matters: both ends belong to the circuit; edges of distractors do not.
    """

    source: str
    target: str
    weight: float
    strength: float
    matters: bool = True


@dataclass(frozen=True)
class Combination:
    """An interaction of a planted model.

    Attributes:
        members: node names; for the output, names of concepts' nodes.
        target: the gate, output or attention score ("score:layer.head@query,key") they act on together.
        kind: by the truth table of the members with everything else on, one of
            `circuits.engine.kinds`: and, or, inhibit, xor, other; additive where it is small.
        values: the interaction by index. In a gate's game the players are the gate's inputs, in the
            output's game they are the concepts, everything else on. Zero where an index has nothing.
    """

    members: tuple[str, ...]
    target: str
    kind: str
    values: Mapping[str, float]

    @property
    def order(self) -> int:
        """Gives the number of members."""
        return len(self.members)


@dataclass(frozen=True)
class Truth:
    """What is true of a planted model without noise, by construction.

    Attributes:
        nodes: the nodes that matter: from each a path of edges leads to the output (paths may cancel),
            or it makes an attention score.
        edges: all edges there are; `Connection.matters` tells the circuit's from the distractors'.
        combinations: all interactions of all gates, scores and of the output; what is not listed is 0.
        gate: what the output is of the concepts.
        table: the output for every coalition of concepts, all else on: entry s with the concepts on
            whose bits are set in s, the first concept being bit 1, the second bit 2, the third bit 4.
    """

    nodes: frozenset[str]
    edges: tuple[Connection, ...]
    combinations: tuple[Combination, ...]
    gate: GateType
    table: tuple[float, ...]

    @property
    def order(self) -> int:
        """Gives the largest order at which concepts act on the output: 1 if they only add, 0 if not."""
        members = len(self.table).bit_length() - 1
        terms = {
            s.bit_count(): sum(
                (-1) ** (s.bit_count() - part.bit_count()) * self.table[part]
                for part in range(s + 1)
                if part & s == part
            )
            for s in range(1, 1 << members)
        }
        return max((order for order, term in terms.items() if abs(term) > 1e-9), default=0)


@dataclass(frozen=True)
class Planted:
    """A planted model. Made by `plant`.

    Attributes:
        name: which one.
        sentence: what it is.
        trace: the model on its prompt, as the engine takes it.
        truth: what is true of it, noise left out.
        concepts: the concepts' names and nodes, in the order of `Truth.table`.
        target: the output that is asked about.
        names: the node of every unit, by the name the design gives it ("A", "gate").
    """

    name: str
    sentence: str
    trace: Trace
    truth: Truth
    concepts: Mapping[str, tuple[str, ...]]
    target: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """Gives what to find out, as a question."""
        *most, last = self.concepts
        listed = f"{', '.join(most)} and {last}" if most else last
        return f"How does {self.target} depend on {listed}?"

    def __repr__(self) -> str:
        return f"Planted({self.name!r}: {self.sentence})"
