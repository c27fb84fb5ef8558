"""The engine's own configuration file: JSON, with the keys of Docker's daemon.json.

$IPYCONTAINER_CONFIG, else $XDG_CONFIG_HOME/ipycontainer/engine.json (~/.config), else
/etc/ipycontainer/engine.json. It is read at each use, so a change holds from the next pull on.
"""

import ipaddress
import os
from pathlib import Path
from typing import Annotated

import msgspec

from ipycontainer_runtime.errors import InvalidParameter

VARIABLE = "IPYCONTAINER_CONFIG"
LIMIT = 1 << 20
_SYSTEM = Path("/etc/ipycontainer/engine.json")


class Configuration(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "mirrors": "registry-mirrors",
        "insecure": "insecure-registries",
        "context_limit": "build-context-limit",
    },
):
    """What the file says; a key that is none of these is refused, not ignored."""

    mirrors: tuple[str, ...] = ()
    """URLs of registries that are asked for Docker Hub's images before Docker Hub."""
    insecure: tuple[str, ...] = ()
    """Registries, as HOST[:PORT] or a network, that may lack a certificate, or TLS."""
    context_limit: Annotated[int, msgspec.Meta(gt=0)] = 16 << 30
    """Bytes that the context of a build may have, or one thing that it fetches; no key of Docker's,
    whose builds end with the disk."""


def path() -> Path:
    """Return the file that holds, or the place where it would be looked for first."""
    if given := os.environ.get(VARIABLE):
        return Path(given).absolute()
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    own = home / "ipycontainer/engine.json"
    return _SYSTEM if _SYSTEM.exists() and not own.exists() else own


def read() -> Configuration:
    """Return what is configured; a missing file configures nothing.

    Raises InvalidParameter, naming the file and what is wrong in it.
    """
    where = path()
    try:
        with where.open("rb") as file:
            raw = file.read(LIMIT + 1)
        if len(raw) > LIMIT:
            raise InvalidParameter(f"{where} is larger than {LIMIT} bytes")
        found = msgspec.json.decode(raw or b"{}", type=Configuration)
        for network in (listed for listed in found.insecure if "/" in listed):
            ipaddress.ip_network(network, strict=False)
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except OSError as error:
        raise InvalidParameter(f"{where} cannot be read: {error.strerror}") from error
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidParameter(
            f"{where} is no configuration of the engine ({error}): its keys are"
            " registry-mirrors, URLs, and insecure-registries, HOST[:PORT] or networks, each a"
            " list, and build-context-limit, a number of bytes"
        ) from error
    return found
