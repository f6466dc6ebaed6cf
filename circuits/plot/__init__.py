"""Pictures: one figure a file, matplotlib figures without global state, written by `save`."""

from circuits.plot.network import network
from circuits.plot.save import save
from circuits.plot.waterfall import waterfall

__all__ = ["network", "save", "waterfall"]
