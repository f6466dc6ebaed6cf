"""What a feature means: cards made from text, labels tested on other text, a store beside the dictionary.

A card says when a feature is on (contexts, tokens, domains), what it promotes, and what it may be called.
Making cards (`describe`) needs torch; the record, the store, the search and the export do not.
"""
