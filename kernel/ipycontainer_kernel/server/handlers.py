"""Routes under /ipycontainer of the Jupyter server: authenticated and XSRF-checked as its own are.

Both take `{"path": …, "sandbox": …}`: a notebook's path as the contents API names it, and what its
metadata says. The page may have that from a stranger, so each route reads the claim anew and gives
it what a file may have and no more, whatever the page has shown.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ApiPath, to_os_path, url_path_join
from tornado import web

from ipycontainer.failures import explain
from ipycontainer_kernel.notebooks import claims, offers


class _SandboxHandler(APIHandler):
    """What both routes read: a claim, for a folder that this server serves."""

    auth_resource = "kernelspecs"

    def claim(self) -> claims.Claim:
        """Return what the notebook of this request may have."""
        asked = self.get_json_body()
        if not isinstance(asked, dict) or not isinstance(asked.get("path"), str):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, 'send {"path": …, "sandbox": …}')
        return claims.read(asked.get("sandbox"), self._folder(asked["path"]))

    def _folder(self, path: str) -> Path:
        root = getattr(self.contents_manager, "root_dir", None)
        if not isinstance(root, str):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "this server's notebooks are no files")
        return Path(to_os_path(ApiPath(path), root)).parent

    async def answer(self, body: Any) -> None:
        """Send what `body(claim)` returns; what a person can cure is told in its words."""
        try:
            # Listing kernelspecs reads files, and installing one asks the engine.
            found = await asyncio.to_thread(body, self.claim())
        except web.HTTPError:
            raise
        except Exception as error:
            failure = explain(error, "ipycontainer")
            if failure is None:
                raise
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, str(failure)) from error
        self.finish(json.dumps(found))


class OfferHandler(_SandboxHandler):
    """`POST /ipycontainer/sandbox`: what a notebook's sandbox would be; changes nothing."""

    @web.authenticated
    @authorized(action="read")  # type: ignore[untyped-decorator] # theirs has no types
    async def post(self) -> None:
        """Answer with `kernel` (empty where it is not installed), `wants` and `refused`."""
        specs = self.kernel_spec_manager

        def told(claim: claims.Claim) -> dict[str, Any]:
            return {
                "kernel": offers.installed(specs, claim.settings),
                "wants": claims.told(claim.settings),
                "refused": claim.refused,
            }

        await self.answer(told)


class InstallHandler(_SandboxHandler):
    """`POST /ipycontainer/sandbox/kernel`: installs it, where a person has agreed."""

    @web.authenticated
    @authorized(action="write")  # type: ignore[untyped-decorator] # theirs has no types
    async def post(self) -> None:
        """Answer with the `kernel`'s name."""
        specs = self.kernel_spec_manager
        await self.answer(lambda claim: {"kernel": offers.install(specs, claim.settings)})


def routes(base_url: str) -> list[tuple[str, type[APIHandler]]]:
    """Return the handlers with their addresses."""
    return [
        (url_path_join(base_url, "ipycontainer/sandbox"), OfferHandler),
        (url_path_join(base_url, "ipycontainer/sandbox/kernel"), InstallHandler),
    ]
