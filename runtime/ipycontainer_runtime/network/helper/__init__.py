"""Names and published ports of an engine's containers, kept by one process that outlives it."""
