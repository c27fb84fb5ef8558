"""What a registry's TLS is checked against, and what it is shown: the files of Docker's certs.d.

`certs.d/HOST[:PORT]/` holds authorities (`*.crt`), trusted beside the usual ones, and certificates
of the client (`*.cert`, each with its key in a `.key` of the same name). Looked for in
~/.config/docker, then in /etc/docker: https://docs.docker.com/engine/security/certificates/
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.registry.hosts import SYSTEM_CERTIFICATES


class Certificates(NamedTuple):
    """The files for one registry, all of them PEM."""

    authorities: list[Path]
    clients: list[Path]

    def context(self, *, shown: bool) -> ssl.SSLContext:
        """Return how to speak TLS, with these authorities and, if `shown`, the client's own.

        Raises InvalidParameter, naming the file that cannot be used.
        """
        context = ssl.create_default_context()
        for path in self.authorities:
            with _named(path):
                context.load_verify_locations(path)
        for path in self.clients if shown else ():
            key = path.with_suffix(".key")
            if not key.exists():
                raise InvalidParameter(
                    f"the client's certificate {path} has no key: put that into {key}, or, if this "
                    "is an authority's, end its name in .crt"
                )
            with _named(path):
                # Without a password OpenSSL would ask for one, at a terminal that nobody sees.
                context.load_cert_chain(path, key, password="")
        return context


class TlsAdapter(HTTPAdapter):
    """Connections of a `requests` session that use a context of our own, also through a proxy."""

    def __init__(self, context: ssl.SSLContext, **options: Any) -> None:
        self._context = context
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by `requests` when the adapter is made."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Called by `requests` for the first request through a proxy."""
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)


class UncheckedAdapter(HTTPAdapter):
    """Connections that take any certificate: for registries that are configured as insecure."""

    def __init__(self, **options: Any) -> None:
        # It is configured: to say so at each request would fill the engine's log.
        urllib3.disable_warnings(InsecureRequestWarning)
        super().__init__(**options)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Called by `requests` for each request, which asks for a check."""
        return super().send(*args, **{**kwargs, "verify": False})


def domains() -> list[str]:
    """Return the domains that there is a folder for."""
    found: set[str] = set()
    for folder in _folders():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            found |= {path.name for path in folder.iterdir() if path.is_dir()}
    return sorted(found)


def _folders() -> tuple[Path, Path]:
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "docker/certs.d"
    return own, Path(SYSTEM_CERTIFICATES)


def find(domain: str) -> Certificates | None:
    """Return the files for a reference's domain; None where there is no folder for it."""
    for folder in (above / domain for above in _folders()):
        # What this user may not look into is not for this user.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            files = sorted(folder.iterdir())
            return Certificates(
                [path for path in files if path.suffix == ".crt"],
                [path for path in files if path.suffix == ".cert"],
            )
    return None


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidParameter(
            f"{path} cannot be used for TLS ({error.strerror or error}): it, and a client's key, "
            "must be readable, unencrypted PEM"
        ) from error
