"""Where this engine answers differently from Docker's, each with its reason. At most five.

A difference names the command lines by a pattern, and what to change in the answers of each engine
so that they agree. One that no command line needs any more fails its test, and leaves this list.
"""

import re
from typing import NamedTuple

from transcript import Said


class Difference(NamedTuple):
    """On lines that match `lines`, `docker` and `ours` are patterns taken out of the answers.

    With `code` the exit code is a difference as well.
    """

    lines: str
    reason: str
    docker: str = ""
    ours: str = ""
    code: bool = False

    def applies(self, line: str) -> bool:
        """Tell whether this difference is about that command line."""
        return re.search(self.lines, line) is not None

    def without(self, said: Said, pattern: str) -> Said:
        """Return the answer with everything that `pattern` matches taken out."""
        stdout, stderr = said.stdout, said.stderr
        if pattern:
            stdout, stderr = re.sub(pattern, "", stdout), re.sub(pattern, "", stderr)
        return Said(stdout, stderr, 0 if self.code else said.code)


DIFFERENCES = (
    Difference(
        lines=r"run .*(no-such-command|/etc/passwd)$|exec .*no-such-command$",
        reason="Docker's engine names the parts it is made of, shim and runc; ours has neither",
        docker=r"(failed to create [a-z ]+: )*OCI runtime \w+ failed: (runc create|exec) failed: "
        r"unable to start container process: |: unknown",
    ),
    Difference(
        lines=r"mount \| grep",
        reason="devices are bind mounts here, so that no other device can be opened",
        ours=r"(?m)^/dev/(full|null|random|tty|urandom|zero)\n",
    ),
    Difference(
        lines=r"image inspect absent|=no-such|no-such=1|=maybe|=nonsense|--change 'FROM|-c 'RUN"
        r"|\| docker load$|load <|save bb absent",
        reason="a message says its thing once, and what would have been right",
        docker=r"no such image: absent: |Invalid filter|from is|run is|failed to parse value.*"
        r"|open .*/repositories: .*|Error processing tar file.*|reference does not exist",
        ours=r"invalid filter|FROM is|RUN is|: use (one of )?[a-z].*|: true or false is wanted"
        r"|invalid until.*|No such image: absent:1|Error response from daemon: the archive .*",
    ),
    Difference(
        lines=r"exec .*no-such-command$",
        reason="a command that is not found ends `exec` with 127, as it ends `run`",
        code=True,
    ),
)
