"""Notebooks and their sandboxes: what a notebook says of its own, and running it there."""
