"""Interventions on the real model: what the graph predicted, measured."""
