"""Pictures: one figure a file; each gives its axes, or draws into yours; written by `save`."""

from circuits.plot.agreement import agreement
from circuits.plot.difference import difference
from circuits.plot.hypergraph import hypergraph
from circuits.plot.matrix import interaction_matrix
from circuits.plot.network import network
from circuits.plot.orders import interaction_orders
from circuits.plot.save import save
from circuits.plot.sentence import sentence
from circuits.plot.strongest_paths import strongest_paths
from circuits.plot.upset import upset
from circuits.plot.waterfall import waterfall

__all__ = [
    "agreement",
    "difference",
    "hypergraph",
    "interaction_matrix",
    "interaction_orders",
    "network",
    "save",
    "sentence",
    "strongest_paths",
    "upset",
    "waterfall",
]
