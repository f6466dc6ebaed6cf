"""Attention interactions: which pairs of features make a score, and which heads carry an edge."""
