"""Games on an output: who the players are, what a coalition is worth, which interactions follow."""

from circuits.engine.games.estimate import interactions
from circuits.engine.games.game import Game, Gated, InnerGates
from circuits.engine.games.graph_game import GraphWorth, graph_game
from circuits.engine.games.method import Coalitions

__all__ = ["Coalitions", "Game", "Gated", "GraphWorth", "InnerGates", "graph_game", "interactions"]
