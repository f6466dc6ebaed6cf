"""Interactions of one-gate games: which inputs of a feature act together because of its gate."""
