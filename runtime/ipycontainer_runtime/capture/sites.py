"""The files of what is installed: each to its distribution, the rest to nobody."""

import os
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ipycontainer_runtime.capture import secrets
from ipycontainer_runtime.capture.distributions import Distribution, without_credentials
from ipycontainer_runtime.capture.interpreter import Interpreter, without_bytecode
from ipycontainer_runtime.capture.tree import BYTECODE, CACHE, Tree, walk

_DIRECT_URL = "direct_url.json"


class Sites(NamedTuple):
    """What lies in a Python's site folders, and in its data folders as installers say."""

    owned: dict[str, Tree]
    """By distribution."""
    loose: Tree
    """What no installer wrote down: modules put there by hand, `.pth` files."""
    left: list[str]
    """What was left out, and why, a line each."""


def collect(
    python: Interpreter,
    folders: Sequence[str],
    distributions: Sequence[Distribution],
    wanted: set[str],
) -> Sites:
    """Collect the files of the `wanted` ones of all `distributions` in these site folders."""
    owners = _Owners(distributions)
    sites = Sites({name: Tree() for name in sorted(wanted)}, Tree(), [])
    skip = without_bytecode(python, _skip)
    for folder in folders:
        sites.loose.add(folder)
        for path, found in walk(folder, skip):
            if stat.S_ISDIR(found.st_mode):
                continue
            owner = owners.of(path)
            if owner is None:
                _add_loose(sites, path, found)
            elif owner in wanted:
                sites.owned[owner].add_as_is(path, found)
    inside = tuple(f"{folder}/" for folder in folders)
    standard = tuple(f"{os.path.realpath(folder)}/" for folder in python.standard)
    for one in distributions:
        if one.name in wanted:
            tree = sites.owned[one.name]
            _add_data(tree, one, inside + standard if one.installer == "conda" else inside)
            _clean(tree, one)
    return sites


def _skip(path: str, folder: bool) -> bool:
    name = os.path.basename(path)
    return name in secrets.FOLDERS if folder else name.endswith(".a")


def _add_loose(sites: Sites, path: str, found: os.stat_result) -> None:
    if reason := secrets.found(path) if stat.S_ISREG(found.st_mode) else "":
        sites.left.append(f"{path}: {reason}")
    else:
        sites.loose.add_as_is(path, found)


def _add_data(tree: Tree, one: Distribution, elsewhere: tuple[str, ...]) -> None:
    """Add what is listed outside the site folders: scripts, and data such as kernels and fonts."""
    for path in one.files:
        if not path.startswith(elsewhere) and not path.endswith(BYTECODE):
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if not stat.S_ISDIR(found.st_mode):
                tree.add_as_is(path, found)


def _clean(tree: Tree, one: Distribution) -> None:
    """Take credentials out of the URL that it was installed from: not every installer does."""
    for path in (f"{one.info}/{_DIRECT_URL}", one.info):
        if path in tree and path.endswith(".json"):
            try:
                with open(path, encoding="utf-8") as file:
                    said = file.read()
            except (OSError, ValueError):
                said = "{}"
            if (cleaned := without_credentials(said)) != said:
                tree.make_file(path, cleaned)


class _Owners:
    """Whose a path is."""

    def __init__(self, distributions: Sequence[Distribution]) -> None:
        self._files: dict[str, str] = {}
        self._tops: dict[str, str] = {}
        for one in distributions:
            for path in one.files:
                self._files.setdefault(path, one.name)
            for path in one.tops:
                self._tops.setdefault(path, one.name)
            # Installers write this after RECORD, or leave it out of it.
            self._tops.setdefault(one.info, one.name)

    def of(self, path: str) -> str | None:
        """Return the distribution that a path belongs to."""
        return self._files.get(path) or self._files.get(_source(path)) or self._below(path)

    def _below(self, path: str) -> str | None:
        while path:
            if path in self._tops:
                return self._tops[path]
            path = path.rpartition("/")[0]
        return None


def _source(path: str) -> str:
    """Return the module that bytecode was compiled from."""
    folder, _, name = path.rpartition("/")
    if not folder.endswith(f"/{CACHE}"):
        return ""
    return f"{folder.rpartition('/')[0]}/{name.partition('.')[0]}.py"


def sizes(owned: Mapping[str, Tree]) -> dict[str, int]:
    """Return the bytes of each distribution that has any file."""
    return {name: tree.size for name, tree in owned.items() if tree}
