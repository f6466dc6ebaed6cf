"""circuits: which features of a language model, and which combinations, produce an output."""

__version__ = "0.1.0"
