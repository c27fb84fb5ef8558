"""Where this engine answers differently from Docker's, each with its reason. At most five.

A difference names the command lines by a pattern, and what to change in the answers of each engine
so that they agree. One that no command line needs any more fails its test, and leaves this list.
"""

import re
from typing import NamedTuple

from transcript import Said


class Difference(NamedTuple):
    """On lines that match `lines`, `docker` and `ours` are patterns taken out of the answers."""

    lines: str
    reason: str
    docker: str = ""
    ours: str = ""

    def applies(self, line: str) -> bool:
        """Tell whether this difference is about that command line."""
        return re.search(self.lines, line) is not None

    def without(self, said: Said, pattern: str) -> Said:
        """Return the answer with everything that `pattern` matches taken out."""
        if not pattern:
            return said
        stdout, stderr = (re.sub(pattern, "", text) for text in (said.stdout, said.stderr))
        return Said(stdout, stderr, said.code)


DIFFERENCES = (
    Difference(
        lines=r"run .*(no-such-command|/etc(/passwd)?)$|exec .*no-such-command$",
        reason="Docker's engine names the parts it is made of, shim and runc; ours has neither",
        docker=r"(failed to create [a-z ]+: )*OCI runtime \w+ failed: (runc create|exec) failed: ",
    ),
)
