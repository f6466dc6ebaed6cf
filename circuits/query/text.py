"""How nodes, tokens and numbers are written for people, the same everywhere."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from circuits.graph.graph import Graph
from circuits.graph.names import quoted as quoted  # one way to write tokens

KIND_WORDS: Mapping[str, str] = {
    "token": "token embeddings",
    "position": "positional embeddings",
    "feature": "features",
    "error": "dictionary errors",
    "bias": "constants",
    "rest": "edges too small to keep",
    "logit": "targets",
}
"""Kinds of nodes in words a newcomer can look up."""


@dataclass(frozen=True)
class Naming:
    """Gives readable names of a graph's nodes; knows the prompt's tokens where `meta` holds them.

    Attributes:
        graph: whose nodes are named.
        tokens: the prompt's tokens, empty if unknown.
        outputs: by target node, what `meta` says of it.
    """

    graph: Graph
    tokens: tuple[str, ...]
    outputs: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, graph: Graph) -> Naming:
        """Gives the naming of a graph."""
        prompt = graph.meta.get("prompt") or {}
        targets = graph.meta.get("targets") or ()
        outputs = {str(t.get("name") or t.get("node")): t for t in targets if isinstance(t, Mapping)}
        return cls(graph, tuple(str(t) for t in prompt.get("tokens") or ()), outputs)

    def token(self, position: int | None) -> str:
        """Gives the quoted token at a position, such as `" store"`, or `" John"@9` if it occurs twice.

        `position 7` where its text is unknown, nothing for None.
        """
        if position is None:
            return ""
        if not 0 <= position < len(self.tokens):
            return f"position {position}"
        text = self.tokens[position]
        return quoted(text) + (f"@{position}" if self.tokens.count(text) > 1 else "")

    def output(self, node: str) -> str:
        """Gives the quoted token a target stands for, or the pair of a difference, or the node's name."""
        entry = self.outputs.get(node, {})
        tokens = entry.get("tokens") or ([entry["token"]] if entry.get("token") else [])
        if tokens:
            return " over ".join(quoted(str(t)) for t in tokens)
        return quoted(node.removeprefix("logit:")) if node.startswith("logit:") else node

    def probability(self, node: str) -> float | None:
        """Gives the model's probability of a target, where `meta` has it."""
        chance = self.outputs.get(node, {}).get("probability")
        return None if chance is None else float(chance)

    def phrase(self, node: str) -> str:
        """Gives a node in a few words: `feature 12/4051 at " to" [→ " Paris"]`.

        What is no node is a head, an attention score, log-odds of two keys, or else a concept.
        """
        if node not in self.graph.index:
            return self._attention(node) or f"the concept {quoted(node)}"
        row = self.graph.row(node)
        kind = str(self.graph.nodes["kind"][row])
        layer, pos = self.graph.nodes["layer"][row], self.graph.nodes["pos"][row]
        if kind == "token":
            return f"the word {self.token(pos)}" if pos is not None else node
        if kind == "position":
            return f"the position of {self.token(pos)}"
        if kind == "error":
            return f"the error of layer {layer} at {self.token(pos)}"
        if kind == "logit":
            return f"the logit of {self.output(node)}"
        if kind != "feature":
            return node
        if self._grouped(row):
            return f"the concept {quoted(node)}"
        label = self.graph.nodes["label"][row]
        said = f" [{short(str(label), 48)}]" if label else ""
        return f"feature {node.split('@')[0]} at {self.token(pos)}{said}"

    def brief(self, node: str) -> str:
        """Gives a node for tables and paths: `12/4051 at " to"`, `" Mary"`, `error 3 at " to"`."""
        if node not in self.graph.index:
            return self._attention(node).removeprefix("the ") or node
        row = self.graph.row(node)
        kind = str(self.graph.nodes["kind"][row])
        layer, pos = self.graph.nodes["layer"][row], self.graph.nodes["pos"][row]
        if kind == "token":
            return self.token(pos) or node
        if kind == "position":
            return f"position of {self.token(pos)}"
        if kind == "error":
            return f"error {layer} at {self.token(pos)}"
        if kind == "feature" and not self._grouped(row):
            return f"{node.split('@')[0]} at {self.token(pos)}"
        return f"output {self.output(node)}" if kind == "logit" else node

    def terse(self, node: str) -> str:
        """Gives a node for a line of several: words and outputs as they read, the others by their names."""
        known = node in self.graph.index
        read = not known or self.graph.nodes["kind"][self.graph.index[node]] in ("token", "logit")
        return self.brief(node) if read else node

    def _grouped(self, row: int) -> bool:
        """Tells whether a node of kind feature is a concept (`circuits.graph.concept_graph`)."""
        return self.graph.nodes["feature"][row] is None

    def _attention(self, name: str) -> str:
        """Gives a head, a score or log-odds in words; nothing for any other name."""
        found = _HEAD.match(name)
        if found is None:
            return ""
        what, head, *places = found.groups()
        query, key, other = (self.token(None if place is None else int(place)) for place in places)
        if what == "odds" and other:
            return f"the log-odds of {key} over {other} in head {head} at {query}"
        looks = f" from {query} to {key}" if key else ""
        return f"the score of head {head}{looks}" if what == "score" else f"head {head}{looks}"


_HEAD = re.compile(r"^(head|score|odds):(\d+\.\d+)(?:@(\d+),(\d+)(?:-(\d+))?)?$")
"""Names of heads, attention scores and log-odds, as `circuits.schema` has them."""


def short(text: str, width: int) -> str:
    """Gives at most `width` characters of a text, the end replaced by an ellipsis where cut.

    Example:
        >>> short("a rather long label", 9)
        'a rather…'
    """
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= width else text[: width - 1].rstrip(' ,"') + "…"


def signed(value: float | None) -> str:
    """Gives a signed number with three significant digits and a true minus sign.

    Example:
        >>> signed(1.2345), signed(-0.012), signed(0.0), signed(None)
        ('+1.23', '−0.012', '0', '')
    """
    if value is None:
        return ""
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return sign + plain(abs(value))


def probable(value: float) -> str:
    """Gives a probability with two digits, or as many as tell it from certainty.

    Example:
        >>> probable(0.1734), probable(0.99813), probable(0.99996), probable(1.0)
        ('0.17', '0.998', '0.99996', '1')
    """
    digits = 2
    while value < 1 and float(f"{value:.{digits}g}") == 1:
        digits += 1
    return f"{value:.{digits}g}"


def plain(value: float | None) -> str:
    """Gives a number with three significant digits: `17.4`, `0.034`, `12,300`.

    Example:
        >>> plain(17.423), plain(0.0341), plain(12345.6), plain(-2.0)
        ('17.4', '0.0341', '12,346', '−2')
    """
    if value is None:
        return ""
    if value != value or abs(value) == float("inf"):
        return str(value)
    if abs(value) >= 1e9:
        return number(value)
    if abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
        if "e" in text and abs(value) >= 1:
            text = f"{value:.0f}"
    return text.replace("-", "−")


def percent(share: float | None) -> str:
    """Gives a share as a percentage, two significant digits below ten.

    Example:
        >>> percent(0.3142), percent(0.0213), percent(0.00004), percent(0)
        ('31%', '2.1%', '<0.01%', '0%')
    """
    if share is None:
        return ""
    if share != share:
        return "unknown"
    if 0 < abs(share) < 1e-4:
        return "<0.01%"
    value = 100 * share
    text = f"{value:.0f}%" if abs(value) >= 9.95 or value == 0 else f"{value:.2g}%"
    return text.replace("-", "−")


def number(count: float) -> str:
    """Gives a count, as a power of ten where it is long.

    Example:
        >>> number(1234), number(3.21e12)
        ('1,234', '3.2 × 10^12')
    """
    if count < 1e6:
        return f"{count:,.0f}"
    if count == float("inf"):
        return "more than 10^308"
    digits, _, power = f"{count:.1e}".partition("e+")
    return f"{digits} × 10^{int(power)}"


def python(
    graph: Graph,
    function: str,
    asked: Mapping[str, Any],
    usual: Mapping[str, Any] | None = None,
    first: Sequence[str] = ("target",),
) -> str:
    """Gives Python that asks a question again: the run loaded, the answer printed.

    Args:
        graph: what was asked; its `meta` knows the run it came from.
        function: of this package, by name.
        asked: its arguments by name; those that are None are left out.
        usual: values that need not be given.
        first: arguments that are given without their names.
    """
    run = str(graph.meta.get("run") or graph.meta.get("path") or "run")
    given = {k: v for k, v in asked.items() if v is not None and (usual or {}).get(k) != v}
    said = [repr(given.pop(name)) for name in first if name in given]
    said = ["graph", *said, *(f"{name}={value!r}" for name, value in given.items())]
    call = f"circuits.{function}({', '.join(said)})".replace("Concept(", "circuits.Concept(")
    call = call.replace("Limit(", "circuits.Limit(")
    return f"import circuits\n\ngraph = circuits.load_run({run!r})\nprint({call})"


def listing(parts: Iterable[str]) -> str:
    """Gives a list as English writes it.

    Example:
        >>> listing(["a", "b", "c"]), listing(["a"])
        ('a, b and c', 'a')
    """
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def wrapped(text: str, width: int) -> str:
    """Gives a text in lines of at most `width` characters, never broken inside double quotes.

    Example:
        >>> print(wrapped('he said " so it is"', 12))
        he said
        " so it is"
    """
    lines = textwrap.fill(held(text, "\0"), width, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def held(text: str, space: str = "\u00a0") -> str:
    """Gives a text whose spaces inside double quotes are ones at which no line is broken."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: found[0].replace(" ", space), text)


def columns_text(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> str:
    """Gives rows aligned in columns, numbers to the right, each line indented by two spaces.

    Example:
        >>> print(columns_text(["kind", "total"], [["features", "+1.2"]], right=[False, True]))
          kind      total
          features   +1.2
    """
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    lines = []
    for line in (header, *rows):
        cells = (
            c.rjust(w) if to_right else c.ljust(w) for c, w, to_right in zip(line, widths, right, strict=True)
        )
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)
