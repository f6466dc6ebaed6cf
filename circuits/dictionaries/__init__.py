"""Dictionaries of features (torch): what they read, what they write, and loading them."""
