"""A person's own code, taken along when asked: a folder or a file, without what is secret."""

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from ipycontainer_runtime.capture import secrets
from ipycontainer_runtime.capture.tree import CACHE, Tree, walk
from ipycontainer_runtime.errors import InvalidParameter, NotFound

Ignored = Callable[[str, bool], bool]
"""Called with a path below the folder and whether it is a folder: what `.dockerignore` says."""

# What is made from the rest, or belongs to one machine; as git's own templates ignore it.
_MADE = frozenset(
    (CACHE, ".venv", "venv", "node_modules", ".ipynb_checkpoints", ".tox", ".nox", ".cache")
)
_MADE_ENDS = ("_cache", ".egg-info")
_FORBIDDEN = (
    "/",
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
)


class Code(NamedTuple):
    """What to take, and where the image has it: `--code PATH[:TARGET]`."""

    path: str
    target: str

    @property
    def is_folder(self) -> bool:
        """Say whether it is a project's folder, not a single file."""
        return os.path.isdir(self.path)

    @classmethod
    def parse(cls, text: str) -> "Code":
        """Read `PATH[:TARGET]`, both absolute; without a target it stays where it is."""
        path, colon, target = text.rpartition(":")
        if not colon or not target.startswith("/"):
            path, target = text, text
        path, target = os.path.normpath(path), os.path.normpath(target)
        if not os.path.isabs(path) or target == "/":
            raise InvalidParameter(f"code {text}: give an absolute path, as PATH or PATH:TARGET")
        # A home, and what homes are in, also where a link leads there.
        home, real = os.path.realpath(os.path.expanduser("~")), os.path.realpath(path)
        if {path, real} & {*_FORBIDDEN} or f"{home}/".startswith(f"{real}/"):
            raise InvalidParameter(f"code {text}: {path} is no project: name a folder in it")
        return cls(path, target)


def collect(code: Code, ignored: Ignored) -> tuple[Tree, list[str]]:
    """Return the files of a project, and a line for each that was left out as a secret.

    NotFound when there is nothing at the path. Symlinks are kept and not followed.
    """
    tree, left = Tree(), list[str]()
    real = os.path.realpath(code.path)
    try:
        found = os.lstat(real)
    except OSError as error:
        raise NotFound(f"code {code.path} cannot be taken: {error.strerror}") from error
    if stat.S_ISREG(found.st_mode):
        if reason := secrets.found(real):
            raise InvalidParameter(f"code {code.path} is not taken: {reason}")
        tree.add_as_is(real, found)
    else:
        tree.add(real)
        _add_all(tree, left, real, ignored)
    if real != code.target:
        tree.move(real, code.target)
    return tree, left


def _add_all(tree: Tree, left: list[str], root: str, ignored: Ignored) -> None:
    def skip(path: str, folder: bool) -> bool:
        name = os.path.basename(path)
        if folder and (name in secrets.FOLDERS or name in _MADE or name.endswith(_MADE_ENDS)):
            return True
        if folder and os.path.exists(f"{path}/pyvenv.cfg"):
            return True
        return ignored(path[len(root) + 1 :], folder)

    for path, found in walk(root, skip):
        if stat.S_ISDIR(found.st_mode) and ignored(path[len(root) + 1 :], False):
            continue
        if stat.S_ISREG(found.st_mode) and (reason := secrets.found(path)):
            left.append(f"{path}: {reason}")
        else:
            tree.add_as_is(path, found)
