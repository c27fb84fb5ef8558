"""The corpus: Dockerfiles of ours for the language's corners, and the context they are built in.

`corpus/classic` has what every builder of Docker's reads, and is compared with Debian's dockerd;
`corpus/newer` what came with BuildKit, and is compared with what BuildKit made of it
(scripts/record-buildkit). A case is a folder: its Dockerfile, `flags` (of `docker build`, if it has
any), `expected.json` (of a newer one), and files that are added to the common context.
"""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).with_name("corpus")
CHANGED = 1_580_700_000
"""When every file of a context was changed: before any image was made."""
# A file capability (cap_net_raw, version 2), which is the one attribute that contexts carry.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


class Case(NamedTuple):
    """One Dockerfile of the corpus."""

    folder: Path

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that `docker build` is given for it."""
        file = self.folder / "flags"
        return tuple(file.read_text().split()) if file.exists() else ()

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile, which `-f` may name."""
        flags = self.flags
        return self.folder / (flags[flags.index("-f") + 1] if "-f" in flags else "Dockerfile")

    @property
    def expected(self) -> Path:
        """What BuildKit made of it, as `buildviews` shows images."""
        return self.folder / "expected.json"

    def write_context(self, place: Path) -> Path:
        """Write the whole context to `place`, a folder that is not there yet, and return it."""
        _write_common(place)
        ignored = shutil.ignore_patterns("flags", "expected.json")
        shutil.copytree(self.folder, place, dirs_exist_ok=True, ignore=ignored)
        for folder, _, names in os.walk(place, topdown=False):
            for name in (*names, "."):
                os.utime(Path(folder, name), (CHANGED, CHANGED), follow_symlinks=False)
        return place


def cases(kind: str) -> list[Case]:
    """Return the cases of `kind`, classic or newer, by name."""
    return [Case(folder) for folder in sorted((CORPUS / kind).iterdir())]


def _write_common(place: Path) -> None:
    for name, content, mode in _files():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    for name, mode in (("empty", 0o755), ("modes", 0o755), ("modes/shut", 0o700)):
        (place / name).mkdir(exist_ok=True)
        (place / name).chmod(mode)
    (place / "modes/shared").mkdir()
    (place / "modes/shared").chmod(0o1777)
    (place / "links").mkdir()
    for name, target in (
        ("to-file", "../file.txt"),
        ("to-folder", "../folder"),
        ("to-nowhere", "nowhere"),
        ("to-root", "/etc/passwd"),
    ):
        (place / "links" / name).symlink_to(target)
    os.link(place / "hard/first", place / "hard/second")
    if os.getuid() == 0:
        os.setxattr(place / "capable", "security.capability", CAPABILITY)


def _files() -> Iterator[tuple[str, bytes, int]]:
    for name in ("file.txt", "name with space", "unicode-ü.txt", "glob1.txt", "glob2.txt"):
        yield name, f"{name}\n".encode(), 0o644
    for name in ("globa.md", "[bracket].txt", "hard/first", "capable", "folder/b.txt"):
        yield name, f"{name}\n".encode(), 0o644
    for name in ("folder/a.txt", "folder/.hidden", "folder/sub/deep.txt"):
        yield name, f"{name}\n".encode(), 0o644
    yield "script.sh", b"#!/bin/sh\necho script\n", 0o755
    for name, mode in (("private", 0o600), ("setuid", 0o4755), ("open", 0o666), ("shut/x", 0o444)):
        yield f"modes/{name}", b"mode\n", mode
    packed = _packed()
    yield "packed.tar", packed, 0o644
    yield "packed.tar.gz", gzip.compress(packed, mtime=0), 0o644
    yield "packed.tar.bz2", bz2.compress(packed), 0o644
    yield "packed.tar.xz", lzma.compress(packed), 0o644
    yield "owned.tar", _packed(uid=12, gid=34), 0o600
    yield "plain.gz", gzip.compress(b"no archive inside\n", mtime=0), 0o644
    yield "false.tar", b"a name is no proof of an archive\n", 0o644


def _packed(**owner: int) -> bytes:
    """Return an archive with a folder, a file, and links to it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content, target in (
            ("packed", tarfile.DIRTYPE, b"", ""),
            ("packed/file", tarfile.REGTYPE, b"packed\n", ""),
            ("packed/link", tarfile.SYMTYPE, b"", "file"),
            ("packed/hard", tarfile.LNKTYPE, b"", "packed/file"),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), target
            entry.mode = 0o750 if kind == tarfile.DIRTYPE else 0o640
            entry.mtime = CHANGED
            entry.uid, entry.gid = owner.get("uid", 0), owner.get("gid", 0)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def placed(flags: tuple[str, ...], context: Path) -> tuple[str, ...]:
    """Return the flags as they are for a context that lies there: -f names a file in it."""
    return tuple(
        str(context / flag) if before == "-f" else flag
        for before, flag in zip(("", *flags), flags, strict=False)
    )
