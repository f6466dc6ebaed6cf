"""Games on an output: who the players are, what a coalition is worth, which interactions follow."""
