"""Models whose circuit is known, planted by hand: for tests, for studies, and to try the tool on.

`plant` gives a `Planted`: a trace of a small transformer with its dictionary, and the truth about it,
written down where the network was designed (`basic.py`, `wired.py`), never computed by the engine.
"""

from circuits.planted.plant import PLANTED, plant
from circuits.planted.truth import Combination, Connection, Planted, Truth

__all__ = ["PLANTED", "Combination", "Connection", "Planted", "Truth", "plant"]
