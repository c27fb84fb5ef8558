"""What ADD fetches, and contexts that are elsewhere: http and git.

What is fetched is bounded and lands in the build's own folder. A Dockerfile is somebody else's:
what its ADD names is fetched without the person's keys and .netrc, with an agent that the build was
given (--ssh default). The person himself names a context.
"""

import email.utils
import hashlib
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ipycontainer_runtime.build.instructions import Add
from ipycontainer_runtime.engine.building import bounds, git
from ipycontainer_runtime.engine.building.sources import Selection, Wanted, literal, select
from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.registry.download import Refused, fetching
from ipycontainer_runtime.registry.hosts import without_login

_HTTP = re.compile(r"https?://", re.IGNORECASE)


def is_remote(word: str) -> bool:
    """Tell whether a word of ADD is a URL or a git repository."""
    return _HTTP.match(word) is not None or git.is_git(word)


def fetch(
    instruction: Add, word: str, folder: Path, roots: list[int], agent: str = ""
) -> tuple[Selection, Path | None]:
    """Fetch what a word of ADD names into `folder`, whose descriptor joins `roots`.

    A file that is to be unpacked (`--unpack`) is the second; git gives a folder's contents.
    """
    if git.is_git(word):
        top = git.clone(
            word,
            folder,
            keep=bool(instruction.keep_git_dir),
            checksum=instruction.checksum,
            credentials=git.lent(agent),
        )
        name = "."
    else:
        top, name = folder, download(word, folder, instruction.checksum)
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    roots.append(root)
    selection = select(root, Wanted("ADD", (literal(name),), exclude=instruction.exclude))
    archive = top / name if instruction.unpack and name != "." else None
    return selection, archive


def download(url: str, folder: Path, checksum: str = "") -> str:
    """Fetch a URL into a file of `folder`, with the server's time, and return its name."""
    told = without_login(url)
    bounds.refuse_link(url)
    name = posixpath.basename(unquote(urlsplit(url).path)) or "index"
    if name in (".", ".."):
        raise InvalidParameter(f"cannot determine a file name for ADD {told}: give it another path")
    file = folder / name
    expected = _expected(checksum)
    try:
        with fetching(url, permit=bounds.refuse_link) as fetched:
            found = _save(file, fetched.chunks, told)
            modified = fetched.modified
    except Refused as error:
        raise Unavailable(
            f"ADD failed: failed to GET {told} with status {error.code} {error.reason}"
        ) from error
    except Unavailable as error:
        raise Unavailable(f"ADD failed: {error}") from error
    if expected and found != expected:
        raise InvalidParameter(f"digest mismatch {found}: {expected}: {told} has other content")
    file.chmod(0o600)
    moment = _moment(modified)
    os.utime(file, (moment, moment))
    return name


def _expected(checksum: str) -> str:
    if not checksum:
        return ""
    if not digests.is_digest(checksum) or not checksum.startswith("sha256:"):
        raise InvalidParameter(f"invalid checksum {checksum!r}: sha256:… is wanted")
    return checksum


def _save(file: Path, chunks: Iterator[bytes], told: str) -> str:
    hashed, size, most = hashlib.sha256(), 0, bounds.limits().file
    with file.open("wb") as out:
        for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise InvalidParameter(f"{told} has more than {most} bytes: {bounds.cure()}")
            hashed.update(chunk)
            out.write(chunk)
    return f"sha256:{hashed.hexdigest()}"


def _moment(modified: str) -> int:
    """Return the time of a Last-Modified; the beginning of 1970 without one, as Docker has it."""
    try:
        return int(email.utils.parsedate_to_datetime(modified).timestamp())
    except (TypeError, ValueError):
        return 0
