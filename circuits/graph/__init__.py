"""The graph: its tables, its scores, its pruning, running it, its files, other libraries' views."""
