"""The kinds of error that cross a seam, and the HTTP status each becomes.

Every message is one line that names the value and the cure. Code below a seam raises one of
these `from` whatever the kernel, a registry or a library raised.
"""


class ContainerError(Exception):
    """Anything this project refuses or fails to do; `status` is the Engine API's HTTP status."""

    status = 500
    fault: object = None
    """What went wrong as data, for those who answer it with the message."""


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
    125 when the container itself could not be made. `step` names the launcher's operation.
    """

    status = 400

    def __init__(self, message: str, *, exit_code: int = 125, step: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.step = step
        self.status = 500 if exit_code == 125 else 400
