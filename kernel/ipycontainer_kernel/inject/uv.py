"""uv, which finds and unpacks wheels for another Python than the one that runs here.

pip evaluates markers for its own Python and gets other versions wrong; uv is told the version and
the platform. Only wheels are taken: nothing of an index is executed on this computer.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ipycontainer.failures import Failure
from ipycontainer_kernel.inject.probe import Facts, UnfitPython, normalised

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Wheel = dict[str, str]
"""name, version and sha256 (hexadecimal; "" for what was copied from this computer)."""

WANTED: Final = ("ipykernel>=6.4", "ipywidgets>=8")
"""ipykernel 6.4 is the oldest with a debugger that works; widgets need their Python side."""
# The front end has these two: in a kernel they are megabytes of JavaScript that nobody loads.
LEFT_OUT: Final = ("jupyterlab-widgets", "widgetsnbextension")
# https://docs.astral.sh/uv/reference/cli/#uv-pip-install--python-platform
_GLIBC: Final = (40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 28, 17)
# Before this release musl's loader passed over relocations in the form of DT_RELR (release notes on
# https://musl.libc.org), and code that has some ends at address 0. The wheels' tag, musllinux_1_2,
# does not tell of it. ZeroMQ's have them since they bring the libstdc++ of a newer Alpine.
_RELATIVE: Final = (1, 2, 4)
_RELATING: Final = "pyzmq"
_NETWORK = re.compile(
    r"dns error|failed to fetch|could not connect|connection|timed? ?out|network|request",
    re.IGNORECASE,
)
_SOLUTION = "No solution found"
_SECONDS = 600
_ENTRY: Final = {
    "name": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?"),
    "version": re.compile(r"[0-9][A-Za-z0-9.!+_-]{0,60}"),
    "sha256": re.compile(r"[0-9a-f]{64}|"),
}


class Unreachable(Failure):
    """No index answers, and uv's own cache has not all that is needed."""


class Package(NamedTuple):
    """A distribution's version, and the hash of each of its wheels that fit, by file name."""

    version: str
    wheels: Mapping[str, str]


def resolve(facts: Facts, wanted: Sequence[str], folder: Path) -> dict[str, Package]:
    """Return what `wanted` needs, by normalised name, and the image has not.

    What the image has is taken as given: it wins when it is imported, so the rest must fit it.
    Raises Unreachable without an index, UnfitPython when nothing fits what the image has.
    """
    has = facts.distributions
    constraints = [f"{name}=={version}" for name, version in has.items()]
    if facts.libc == "musl" and facts.libc_version < _RELATIVE and _RELATING not in has:
        constraints.append(f"{_RELATING}<26")
    for name, lines in (("in", wanted), ("constraints", constraints), ("excludes", LEFT_OUT)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    _reached(
        facts,
        *("pip", "compile", "in", "--constraints", "constraints", "--excludes", "excludes"),
        *("--format", "pylock.toml", "--output-file", "pylock.toml", *_platform(facts)),
        folder=folder,
    )
    locked = tomllib.loads((folder / "pylock.toml").read_text())
    packages = {normalised(one["name"]): one for one in locked["packages"]}
    return {
        name: Package(one["version"], {_file(w): w["hashes"]["sha256"] for w in one["wheels"]})
        for name, one in packages.items()
        if name not in has
    }


def install(
    facts: Facts, packages: Mapping[str, Package], target: Path, folder: Path
) -> list[Wheel]:
    """Unpack those packages into `target`, each by one of its hashes; return what was taken."""
    target.mkdir(exist_ok=True)
    if not packages:
        return []
    lines = [
        f"{name}=={one.version}" + "".join(f" --hash=sha256:{sha}" for sha in one.wheels.values())
        for name, one in packages.items()
    ]
    (folder / "locked").write_text("".join(f"{line}\n" for line in lines))
    _reached(
        facts,
        *("pip", "install", "--requirements", "locked", "--no-deps", "--require-hashes"),
        *("--target", str(target), "--link-mode", "hardlink", *_platform(facts)),
        folder=folder,
    )
    (target / ".lock").unlink(missing_ok=True)
    found = {normalised(path.stem.rpartition("-")[0]): path for path in target.glob("*.dist-info")}
    return [
        {"name": name, "version": one.version, "sha256": _taken(one, found[name])}
        for name, one in sorted(packages.items())
    ]


def _taken(package: Package, metadata: Path) -> str:
    """Return the hash of the wheel that was unpacked: of those that fit, the one with its tags."""
    if len(package.wheels) == 1:
        return next(iter(package.wheels.values()))
    lines = (metadata / "WHEEL").read_text().splitlines()
    tags = {line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")}
    for name, sha256 in package.wheels.items():
        if tags == _tags(name):
            return sha256
    raise Failure(f"{metadata.name} has tags that none of its wheels is named after: report it")


def _tags(file: str) -> set[str]:
    """Return the tags that a wheel's name stands for (PEP 425's compressed sets)."""
    pythons, abis, platforms = file.removesuffix(".whl").split("-")[-3:]
    return {
        "-".join(one)
        for one in itertools.product(pythons.split("."), abis.split("."), platforms.split("."))
    }


def _file(wheel: Mapping[str, Any]) -> str:
    return str(wheel.get("name") or wheel["url"].rpartition("/")[2])


def checked(wheels: Iterable[Mapping[str, Any]]) -> list[Wheel]:
    """Return a lock's wheels, of which a stranger may have written each; raises Failure.

    They become lines of a requirements file, where a line could also be a flag or a URL.
    """
    found = []
    for wheel in wheels:
        for name, pattern in _ENTRY.items():
            value = wheel.get(name, "")
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise Failure(
                    f"{name} {str(value)[:60]!r} of an injected wheel is none: lock again"
                )
        found.append({name: wheel.get(name, "") for name in _ENTRY})
    return found


def _reached(facts: Facts, *arguments: str, folder: Path) -> None:
    """Run uv with an index and, where none answers, with what it fetched before."""
    code, said = _run(*arguments, folder=folder)
    if code and _NETWORK.search(said) and _SOLUTION not in said:
        code, _ = _run(*arguments, "--offline", folder=folder)
        if code:
            raise Unreachable(f"no package index answers: {_last(said)}")
    if code and _SOLUTION not in said:
        raise Failure(f"uv cannot get a kernel's wheels: {_last(said)}")
    if code:
        text = " ".join(said.split())
        has = facts.distributions.items()
        blamed = [f"{name} {version}" for name, version in has if f"{name}=={version}" in text]
        what = f"{', '.join(blamed)} of the image" if blamed else f"the image ({_last(said)})"
        raise UnfitPython(
            f"no ipykernel fits {what}: update what is installed there, or install ipykernel in it"
        )


def _run(*arguments: str, folder: Path) -> tuple[int, str]:
    from uv import find_uv_bin

    # A machine without a network should not wait long to learn that it has none.
    variables = {"UV_HTTP_TIMEOUT": "15", "UV_HTTP_RETRIES": "1", **os.environ}
    command = [find_uv_bin(), *arguments, "--python", sys.executable, "--quiet"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**variables, "UV_NO_PROGRESS": "1", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"connection: uv took longer than {_SECONDS} s"
    return done.returncode, done.stderr.decode(errors="replace")


def _last(said: str) -> str:
    """Return the end of what uv says, which is the cause; it draws a tree of lines before it."""
    return " ".join(said.replace("╰─▶", " ").replace("│", " ").split())[-400:]


def _platform(facts: Facts) -> list[str]:
    if facts.libc == "musl":
        name = f"{facts.machine}-unknown-linux-musl"
    else:
        fits = [minor for minor in _GLIBC if (2, minor) <= facts.libc_version]
        if not fits:
            raise UnfitPython(
                f"the image's glibc {'.'.join(map(str, facts.libc_version))} is older than 2.17,"
                " for which no wheels are made: install ipykernel in it"
            )
        name = f"{facts.machine}-manylinux_2_{fits[0]}"
    if facts.machine == "riscv64":
        name = "riscv64-unknown-linux"
    return ["--python-version", facts.python, "--python-platform", name, "--only-binary", ":all:"]
