"""Secrets and ssh agents of a build: Docker's API has no place for them, so ours has a header.

They go to engines on this machine alone, over a unix socket.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from ..failures import Failure, Usage
from ..session import Session

HEADER = "X-Ipycontainer-Build"
_LONGEST_HEADER = 245_000
"""Characters; with the other headers the engine takes 256 KiB."""
_MOST = 135_000
"""Bytes of all secrets: they are in base64, and so is the JSON that has them."""


def headers(
    session: Session, secrets: tuple[str, ...], agents: tuple[str, ...], extensions: set[str]
) -> dict[str, str]:
    """Return the header that carries what `--secret` and `--ssh` name; none where they do not."""
    if not (secrets or agents):
        return {}
    word = "--secret" if secrets else "--ssh"
    if "build" not in extensions or not session.address.startswith("unix:"):
        raise Failure(
            f"{word}: {session.address} is an engine that takes no secrets: only ipycontainer's"
            " own does, on this machine; unset DOCKER_HOST to use it"
        )
    found = dict(_secret(text) for text in secrets)
    document = {
        "secrets": {name: base64.b64encode(data).decode() for name, data in found.items()},
        "ssh": dict(_agent(text) for text in agents),
    }
    content = base64.b64encode(json.dumps(document).encode()).decode()
    if len(content) > _LONGEST_HEADER:
        size = sum(map(len, found.values()))
        raise Usage(
            f"--secret: all together have {size:,} bytes, and at most {_MOST:,} can be sent: "
            "have the step decrypt a large file with a small key"
        )
    return {HEADER: content}


def _secret(text: str) -> tuple[str, bytes]:
    fields = dict.fromkeys(("id", "src", "source", "env", "type"), "")
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in fields:
            raise _malformed(text)
        fields[key] = value
    name, source, variable = fields["id"], fields["src"] or fields["source"], fields["env"]
    if not name or (source and variable):
        raise _malformed(text)
    if fields["type"] == "env":
        source, variable = "", variable or source or name
    if not source and not variable and name in os.environ:
        variable = name
    data = _from_environment(text, variable) if variable else _from_file(text, source or name)
    if len(data) > _MOST:
        raise Usage(f"--secret {text!r}: it has more than {_MOST:,} bytes, which are the most")
    return name, data


def _malformed(text: str) -> Usage:
    return Usage(f"--secret {text!r}: write id=NAME,src=FILE or id=NAME,env=VARIABLE")


def _from_environment(text: str, variable: str) -> bytes:
    if variable not in os.environ:
        raise Usage(f"--secret {text!r}: there is no variable {variable} in the environment")
    return os.fsencode(os.environ[variable])


def _from_file(text: str, source: str) -> bytes:
    try:
        with Path(source).expanduser().open("rb") as file:
            return file.read(_MOST + 1)
    except OSError as error:
        raise Usage(f"--secret {text!r}: {source}: {error.strerror}") from error


def _agent(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    path = path if equals else os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise Usage(f"--ssh {text!r}: no agent runs here (SSH_AUTH_SOCK is not set)")
    if not Path(path).is_socket():
        raise Usage(f"--ssh {text!r}: {path} is no agent's socket")
    return name, str(Path(path).absolute())
