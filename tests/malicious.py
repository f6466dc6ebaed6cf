"""An object whose pickle runs code when it is opened without care: it makes a directory."""

from __future__ import annotations

import os


class Attack:
    """Pickles as a call of os.mkdir."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
