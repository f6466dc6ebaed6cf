"""Questions to a graph, each answered in sentences, tables and a highlighted subgraph."""
