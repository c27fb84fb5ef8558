"""Volumes: their use cases, the drivers that keep them, and what containers do with them."""
