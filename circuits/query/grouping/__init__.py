"""Features grouped into concepts by what they share, with evidence, and how well the groups hold."""
