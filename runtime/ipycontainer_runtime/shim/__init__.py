"""One small process per container: its streams, its log, its exit."""
