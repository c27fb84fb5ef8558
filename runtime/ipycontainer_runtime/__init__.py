"""The container engine of ipycontainer. Knows nothing of Jupyter."""

__version__ = "0.1.0"
