"""The use cases of networks: which there are, who is in them, and what is published of whom."""
