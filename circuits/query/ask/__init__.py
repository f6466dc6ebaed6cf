"""Questions in words: a grammar, the questions it gives, and the same in Python."""
