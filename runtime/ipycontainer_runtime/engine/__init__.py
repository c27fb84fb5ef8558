"""The use cases, one module per kind of object; the only writer of the store."""
