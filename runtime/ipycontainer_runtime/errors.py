"""The kinds of error that cross a seam, and the HTTP status each becomes.

Every message is one line that names the value and the cure. Code below a seam raises one of
these `from` whatever the kernel, a registry or a library raised.
"""

import errno

_SPACE = "free space or set IPYCONTAINER_ROOT to another disk"
SHORTAGES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EMFILE: "wait until the engine does less, or raise its limit (ulimit -n) and restart it",
    errno.ENFILE: "wait until less is open on this machine, or raise its `sysctl fs.file-max`",
    errno.ENOMEM: "wait until less runs on this machine, or give it more memory",
}
"""What may run out below anything the engine does, and what helps then."""


class ContainerError(Exception):
    """Anything this project refuses or fails to do; `status` is the Engine API's HTTP status."""

    status = 500
    fault: object = None
    """What went wrong as data, for those who answer it with the message."""

    def __init__(self, message: str) -> None:
        # It may have words of a registry, an image or a container, and clients write it to
        # terminals as it is.
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Escape what a terminal would obey rather than show; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class InvalidParameter(ContainerError):
    """What was asked for is malformed: a bad reference, flag, name, user or archive."""

    status = 400


class Unauthorized(ContainerError):
    """A registry or the engine wants credentials that were not given or not accepted."""

    status = 401


class Forbidden(ContainerError):
    """What was asked for is understood and will not be done."""

    status = 403


class NotFound(ContainerError):
    """No image, container, exec or layer has this name or id."""

    status = 404


class Conflict(ContainerError):
    """The object is in a state, or has a name, that rules this out."""

    status = 409


class NotImplementedHere(ContainerError):
    """A field or operation of Docker's that this engine does not have; named, never ignored."""

    status = 501


class Unavailable(ContainerError):
    """Something needed is out of reach now: a registry, a disk, a kernel feature."""

    status = 503


class Corrupt(ContainerError):
    """Content does not match its digest, size or diff id, or breaks its format's bounds."""

    status = 500


class StartFailed(ContainerError):
    """The container's process could not be started.

    `exit_code` is Docker's: 126 when the command cannot be executed, 127 when it is not found,
    125 when the container itself could not be made. `step` names the launcher's operation; `times`
    and `told` are what the shim and the launcher tell of an attempt (`engine.moments`).
    """

    status = 400

    def __init__(
        self,
        message: str,
        *,
        exit_code: int = 125,
        step: str = "",
        times: dict[str, int] | None = None,
        told: str = "",
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.step = step
        self.times = times or {}
        self.told = told
        self.status = 500 if exit_code == 125 else 400


def shortage(error: OSError, doing: str) -> Unavailable | None:
    """Return what it means to a person that something has run out; None for any other error."""
    cure = SHORTAGES.get(error.errno or 0)
    if cure is None:
        return None
    name = f" {error.filename!s}" if error.filename else ""
    return Unavailable(f"{doing}:{name} {error.strerror}; {cure}")
