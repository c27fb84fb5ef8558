"""The Dockerfile kernel: each cell holds instructions, and its place in the notebook is its layer.

It runs on the host and drives an engine by its API. `notebook` turns Dockerfiles into notebooks and
back, byte for byte; it needs neither kernel nor engine.
"""

MIMETYPE = "text/x-dockerfile"
LANGUAGE = {
    "name": "dockerfile",
    "mimetype": MIMETYPE,
    "file_extension": ".dockerfile",
    "pygments_lexer": "docker",
    "codemirror_mode": "dockerfile",
}
