"""What ADD fetches, and contexts that are elsewhere: http and git.

What is fetched is bounded and lands in the build's own folder. git runs without prompts, hooks and
the person's configuration; no address may be read as one of its options. A Dockerfile is somebody
else's: what its ADD names is fetched without the person's keys and .netrc, with an agent that the
build was given (--ssh default). The person himself names a context.
"""

import email.utils
import functools
import hashlib
import os
import posixpath
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

from ipycontainer_runtime.build.instructions import Add
from ipycontainer_runtime.engine.building.sources import Selection, Wanted, literal, select
from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from ipycontainer_runtime.launch.syscalls import openat2
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.registry.hosts import is_loopback, is_private_address

LARGEST = 16 << 30
"""Bytes of one file that is fetched."""
_GIT_SECONDS = 600
_SECONDS = (10, 120)
_READ = 1 << 20
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_GIT = re.compile(r"(git://|git@[\w.-]+:|ssh://|https?://[^#?]+\.git(?=$|[#?/]))", re.IGNORECASE)
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
    return _GIT.match(word) is not None or word.startswith(_GITHUB)


def is_remote(word: str) -> bool:
    """Tell whether a word of ADD is a URL or a git repository."""
    return _HTTP.match(word) is not None or _GIT.match(word) is not None


def fetch(
    instruction: Add, word: str, folder: Path, roots: list[int], agent: str = ""
) -> tuple[Selection, Path | None]:
    """Fetch what a word of ADD names into `folder`, whose descriptor joins `roots`.

    A file that is to be unpacked (`--unpack`) is the second; git gives a folder's contents.
    """
    if is_git(word):
        top = clone(
            word,
            folder,
            keep=bool(instruction.keep_git_dir),
            checksum=instruction.checksum,
            credentials=_given(agent),
        )
        name = "."
    else:
        top, name = folder, download(word, folder, instruction.checksum)
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    roots.append(root)
    selection = select(root, Wanted("ADD", (literal(name),), exclude=instruction.exclude))
    archive = top / name if instruction.unpack and name != "." else None
    return selection, archive


def _given(agent: str) -> dict[str, str]:
    """Return the environment in which git has the keys of an agent and no others."""
    ssh = f"{_QUIET['GIT_SSH_COMMAND']} -F none -o IdentityFile=none"
    own = {} if agent else {"GIT_SSH_COMMAND": f"{ssh} -o IdentityAgent=none"}
    return {
        "HOME": "/nonexistent",  # curl's .netrc
        "GIT_SSH_COMMAND": ssh,
        "SSH_AUTH_SOCK": agent,
        **own,
    }


def download(url: str, folder: Path, checksum: str = "") -> str:
    """Fetch a URL into a file of `folder`, with the server's time, and return its name."""
    _refuse_link(url)
    name = posixpath.basename(unquote(urlsplit(url).path)) or "index"
    if name in (".", ".."):
        raise InvalidParameter(f"cannot determine a file name for ADD {url}: give it another path")
    file = folder / name
    expected = _expected(checksum)
    try:
        auth = _Written(url)
        with (
            _Session() as session,
            session.get(url, stream=True, timeout=_SECONDS, auth=auth) as reply,
        ):
            if reply.status_code != requests.codes.ok:
                raise Unavailable(
                    f"ADD failed: failed to GET {url} with status {reply.status_code} "
                    f"{reply.reason}"
                )
            found = _save(file, reply.iter_content(_READ), url)
            modified = reply.headers.get("Last-Modified", "")
    except requests.RequestException as error:
        raise Unavailable(f"ADD failed: cannot fetch {url}: {error}") from error
    if expected and found != expected:
        raise InvalidParameter(f"digest mismatch {found}: {expected}: {url} has other content")
    file.chmod(0o600)
    moment = _moment(modified)
    os.utime(file, (moment, moment))
    return name


class _Session(requests.Session):
    """Sends no request to an address of the machine's link, whoever redirects there."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, a redirected one too, unless it may not be."""
        _refuse_link(request.url or "")
        return super().send(request, **kwargs)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take what was written in the address from a request to another host; add nothing."""
        origin, target = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(origin, target):  # type: ignore[no-untyped-call] # not in the stubs
            prepared_request.headers.pop("Authorization", None)


class _Written(requests.auth.AuthBase):
    """What an address itself has of a user, and never what the person's .netrc has."""

    def __init__(self, url: str) -> None:
        self._pair = requests.utils.get_auth_from_url(url)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add it to a request."""
        return requests.auth.HTTPBasicAuth(*self._pair)(request) if any(self._pair) else request


def _refuse_link(url: str) -> None:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError as error:
        raise InvalidParameter(f"ADD failed: {url} is no URL: {error}") from error
    if is_private_address(host) and not is_loopback(host):
        raise InvalidParameter(
            f"ADD failed: {host} is an address of this machine's link, which may give its "
            "credentials away: COPY the files from the context"
        )


def _expected(checksum: str) -> str:
    if not checksum:
        return ""
    if not digests.is_digest(checksum) or not checksum.startswith("sha256:"):
        raise InvalidParameter(f"invalid checksum {checksum!r}: sha256:… is wanted")
    return checksum


def _save(file: Path, chunks: Iterator[bytes], url: str) -> str:
    hashed, size = hashlib.sha256(), 0
    with file.open("wb") as out:
        for chunk in chunks:
            size += len(chunk)
            if size > LARGEST:
                raise InvalidParameter(f"{url} has more than {LARGEST} bytes")
            hashed.update(chunk)
            out.write(chunk)
    return f"sha256:{hashed.hexdigest()}"


def _moment(modified: str) -> int:
    """Return the time of a Last-Modified; the beginning of 1970 without one, as Docker has it."""
    try:
        return int(email.utils.parsedate_to_datetime(modified).timestamp())
    except (TypeError, ValueError):
        return 0


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
    _refuse_link(url)
    top = Path(tempfile.mkdtemp(prefix="git-", dir=folder))
    top.chmod(0o755)
    git = functools.partial(_git, top, credentials or {})
    git("init", "-q", ".")
    git("remote", "add", "origin", url)
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
    found = git("rev-parse", "HEAD").strip()
    if checksum and not found.startswith(checksum):
        raise InvalidParameter(f"expected checksum to match {checksum}, got {found}: {address}")
    if (top / ".gitmodules").exists():
        git("submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1")
    if not keep:
        for inner in [*top.rglob(".git")]:
            _remove(inner)
    return _below(top, below, address)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _below(top: Path, below: str, address: str) -> Path:
    """Return a folder of the repository, which no link of it leads out of."""
    if not below:
        return top
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = openat2(root, below, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidParameter(f"{address}: the repository has no folder {below}") from error
    finally:
        os.close(root)
    try:
        return Path(os.readlink(f"/proc/self/fd/{folder}"))
    finally:
        os.close(folder)


def _git(folder: Path, credentials: dict[str, str], *arguments: str) -> str:
    environment = {**os.environ, **_QUIET, **credentials}
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=true", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable("git is not installed: install it, or send the files") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"git took more than {_GIT_SECONDS} seconds") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"git: {said[-1] if said else 'failed'}")
    return done.stdout.decode(errors="replace")
