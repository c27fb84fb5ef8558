"""Where our images differ from the classic builder's of Docker, each with its reason: at most five.

A difference names its cases. On those our image is the one that BuildKit makes (`expected.json`
beside them), since Docker has had that builder by default from Engine 23 on, and BuildKit does what
the quoted sentence of Docker's documentation says. One that its cases do not need any more fails a
test.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """What differs, where Docker says so, and the classic cases that it is about."""

    what: str
    source: str
    sentence: str
    cases: tuple[str, ...]


_REFERENCE = "https://docs.docker.com/reference/dockerfile/"

DIFFERENCES = (
    Difference(
        what="what a RUN writes to a volume is kept",
        source=f"{_REFERENCE}#volume",
        sentence="If any build steps change the data within the volume after it has been declared, "
        "those changes are discarded when using the legacy builder. When using Buildkit, the "
        "changes will instead be kept.",
        cases=("volumes",),
    ),
    Difference(
        what="ADD --chown is obeyed where ADD unpacks an archive",
        source=f"{_REFERENCE}#add---chown---chmod",
        sentence="All new files and directories are created with a UID and GID of 0, unless the "
        "optional --chown flag specifies a given username, groupname, or UID/GID combination to "
        "request specific ownership of the content added.",
        cases=("add-archive-owners",),
    ),
    Difference(
        what="a HEALTHCHECK has nothing of the one before it",
        source=f"{_REFERENCE}#healthcheck",
        sentence="There can only be one HEALTHCHECK instruction in a Dockerfile. If you list more "
        "than one then only the last HEALTHCHECK will take effect.",
        cases=("stop-and-health", "health-of-base"),
    ),
    Difference(
        what="the folder that WORKDIR makes is the user's",
        source=f"{_REFERENCE}#user",
        sentence="The USER instruction sets the user name (or UID) and optionally the user group "
        "(or GID) to use as the default user and group for the remainder of the current stage.",
        cases=("workdir-owner",),
    ),
)


def differing() -> dict[str, Difference]:
    """Return the difference by the name of each case that has one."""
    return {case: one for one in DIFFERENCES for case in one.cases}
