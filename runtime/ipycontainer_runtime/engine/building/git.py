"""Contexts and ADD from git repositories.

git runs without prompts, hooks and the person's configuration; no address may be read as one of
its options. A repository of a few kilobytes can make a disk full of files, and what it will need is
known to nobody before, so while git runs the folder that it fills is measured.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ipycontainer_runtime.engine.building import bounds
from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from ipycontainer_runtime.launch.syscalls import openat2
from ipycontainer_runtime.layers.tarread import Limits
from ipycontainer_runtime.registry.hosts import without_login

_SECONDS = 600
_LOOK = 0.25
"""Seconds between two looks at what git has written, or four times as long as a look takes."""
_SAID = 4096
"""Bytes of the end of what git says that are read."""
_ADDRESS = re.compile(
    r"(git://|git@[\w.-]+:|ssh://|https?://[^#?]+\.git(?=$|[#?/]))", re.IGNORECASE
)
_GITHUB = "github.com/"
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    # A repository may name others, by ways that read this machine's files or run its programs.
    "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
    "LC_ALL": "C.UTF-8",
}


def is_git(word: str) -> bool:
    """Tell whether an address is a git repository's."""
    return _ADDRESS.match(word) is not None or word.startswith(_GITHUB)


def lent(agent: str) -> dict[str, str]:
    """Return the environment in which git has the keys of an agent and no others."""
    ssh = f"{_QUIET['GIT_SSH_COMMAND']} -F none -o IdentityFile=none"
    own = {} if agent else {"GIT_SSH_COMMAND": f"{ssh} -o IdentityAgent=none"}
    return {
        "HOME": "/nonexistent",  # curl's .netrc
        "GIT_SSH_COMMAND": ssh,
        "SSH_AUTH_SOCK": agent,
        **own,
    }


def clone(
    address: str,
    folder: Path,
    *,
    keep: bool = False,
    checksum: str = "",
    credentials: dict[str, str] | None = None,
) -> Path:
    """Fetch a repository's commit into `folder` and return the folder that is asked for.

    The address is URL#REF:FOLDER; `keep` leaves `.git` there. `credentials` is the environment that
    has them, where they are not the person's own.
    """
    url, _, fragment = address.partition("#")
    if url.startswith(_GITHUB):
        url = f"https://{url}"
    ref, _, below = fragment.partition(":")
    if url.startswith("-") or ref.startswith("-"):
        raise InvalidParameter(f"{address}: neither a repository nor a ref begins with -")
    bounds.refuse_link(url)
    top = Path(tempfile.mkdtemp(prefix="git-", dir=folder))
    top.chmod(0o755)
    git = _Git(url, top, credentials or {})
    _check_out(git, ref)
    found = git("rev-parse", "HEAD").strip()
    if checksum and not found.startswith(checksum):
        raise InvalidParameter(f"expected checksum to match {checksum}, got {found}: {git.told}")
    if (top / ".gitmodules").exists():
        git("submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1")
    if not keep:
        _forget(top)
    return _below(top, below, git.told)


def _check_out(git: "_Git", ref: str) -> None:
    git("init", "-q", ".")
    git("remote", "add", "origin", git.url)
    try:
        git("fetch", "-q", "--depth", "1", "origin", "--", ref or "HEAD")
        commit = "FETCH_HEAD"
    except Unavailable:
        if not ref:
            raise
        # Few servers give a commit by its number; then it is among those of all branches.
        git("fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        commit = ref
    git("-c", "advice.detachedHead=false", "checkout", "-q", commit)


class _Git:
    """Runs git in one repository's folder, which stays within its bounds."""

    def __init__(self, url: str, top: Path, credentials: dict[str, str]) -> None:
        self.url = url
        self.told = without_login(url)
        """The address for messages."""
        self._top = top
        self._limits = bounds.limits()
        # What the engine was started with may name another repository, its index, or programs.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        self._environment = {**inherited, **_QUIET, **credentials}

    def __call__(self, *arguments: str) -> str:
        """Run a command, and return the end of what it prints."""
        command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=true", *arguments]
        # A server has a say in what git prints, so that is no pipe's content but a bounded file's.
        with (
            tempfile.TemporaryFile(dir=self._top.parent) as printed,
            tempfile.TemporaryFile(dir=self._top.parent) as said,
        ):
            code = self._run(command, printed, said)
            if code:
                lines = _end(said).replace(self.url, self.told).strip().splitlines()
                raise Unavailable(f"git: {lines[-1] if lines else 'failed'}")
            return _end(printed)

    def _run(self, command: list[str], printed: IO[bytes], said: IO[bytes]) -> int:
        try:
            process = subprocess.Popen(
                command,
                cwd=self._top,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Unavailable("git is not installed: install it, or send the files") from error
        try:
            return self._watched(process, (printed, said))
        finally:
            if process.poll() is None:
                # It has programs of its own, such as ssh.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _watched(self, process: "subprocess.Popen[bytes]", outputs: tuple[IO[bytes], ...]) -> int:
        latest, pause = time.monotonic() + _SECONDS, _LOOK
        while True:
            code = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(pause)
            begun = time.monotonic()
            if _exceeds(self._top, outputs, self._limits):
                raise InvalidParameter(
                    f"{self.told} is more than {self._limits.unpacked} bytes or "
                    f"{self._limits.entries} files: {bounds.cure()}"
                )
            if code is not None:
                return code
            if begun > latest:
                raise Unavailable(f"git took more than {_SECONDS} seconds: {self.told}")
            pause = max(_LOOK, 4 * (time.monotonic() - begun))


def _end(file: IO[bytes]) -> str:
    file.seek(max(0, os.fstat(file.fileno()).st_size - _SAID))
    return file.read(_SAID).decode(errors="replace")


def _exceeds(top: Path, outputs: tuple[IO[bytes], ...], limits: Limits) -> bool:
    size = sum(os.fstat(output.fileno()).st_size for output in outputs)
    for count, entry in enumerate(_entries(top), 1):
        with contextlib.suppress(FileNotFoundError):
            size += entry.stat(follow_symlinks=False).st_size
        if size > limits.unpacked or count > limits.entries:
            return True
    return False


def _entries(top: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield what is below a folder, however deep, and whatever goes meanwhile."""
    left = [str(top)]
    while left:
        try:
            with os.scandir(left.pop()) as found:
                for entry in found:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
        except OSError:
            continue  # git has removed it


def _forget(top: Path) -> None:
    """Remove what git knows of the repository and its submodules."""
    for entry in [entry for entry in _entries(top) if entry.name == ".git"]:
        if not os.path.lexists(entry.path):
            continue  # it was within another
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _below(top: Path, below: str, told: str) -> Path:
    """Return a folder of the repository, which no link of it leads out of."""
    if not below:
        return top
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = openat2(root, below, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidParameter(f"{told}: the repository has no folder {below}") from error
    finally:
        os.close(root)
    try:
        return Path(os.readlink(f"/proc/self/fd/{folder}"))
    finally:
        os.close(folder)
