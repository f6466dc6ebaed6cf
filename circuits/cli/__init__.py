"""The command `circuits`."""

from circuits.cli.main import main

__all__ = ["main"]
