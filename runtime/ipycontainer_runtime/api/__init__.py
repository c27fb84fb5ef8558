"""The Docker Engine API over tornado, one module per tag; no logic."""
