"""The Jupyter server's part of offering a notebook its sandbox; the page's is in labextension/."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Name the modules that jupyter_server loads; called by it."""
    return [{"module": "ipycontainer_kernel.server"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Add the routes to the server; called by it when it starts."""
    from ipycontainer_kernel.server.handlers import routes

    app.web_app.add_handlers(".*$", routes(app.web_app.settings["base_url"]))
