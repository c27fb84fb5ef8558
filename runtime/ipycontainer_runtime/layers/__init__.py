"""Between a tar stream and a folder, in both directions, and the root that stands on layers."""
