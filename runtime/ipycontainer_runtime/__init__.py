"""The container engine of ipycontainer. Knows nothing of Jupyter."""
