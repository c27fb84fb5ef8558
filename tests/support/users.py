"""An ordinary user with a range of subordinate ids, and how to become it."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import NamedTuple

NAME = "ipycontainer-test"


class OrdinaryUser(NamedTuple):
    """A user of this machine that is not root."""

    name: str
    uid: int
    gid: int
    home: Path

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs `arguments` as this user, with none of root's powers."""
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups"]
        return [*become, "--inh-caps=-all", *arguments]


def ordinary_user() -> OrdinaryUser:
    """Return the tests' user: whoever runs them or, for root, one that is made when missing."""
    if os.getuid() != 0:
        found = pwd.getpwuid(os.getuid())
        return OrdinaryUser(found.pw_name, found.pw_uid, found.pw_gid, Path(found.pw_dir))
    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        # useradd gives it the next free range in /etc/subuid and /etc/subgid.
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", NAME], check=True)
        found = pwd.getpwnam(NAME)
    return OrdinaryUser(found.pw_name, found.pw_uid, found.pw_gid, Path(found.pw_dir))
