"""The test images, made from Debian's packages as OCI image layouts and kept between runs.

They live in `IPYCONTAINER_TEST_CACHE`, else /var/cache/ipycontainer-tests for root, else the user's
own cache folder; remove that folder to have them made anew.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

RECIPE = "1"
BUSYBOX = Path("/bin/busybox")
ELF = b"\x7fELF"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CREATED = "2024-01-02T03:04:05Z"
# Neither manuals nor translations are ever read in a test, and they are a third of the files.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*")


def cache() -> Path:
    """Return the folder in which test images are kept, made if need be."""
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ipycontainer-tests"
    default = Path("/var/cache/ipycontainer-tests") if os.getuid() == 0 else own
    folder = Path(os.environ.get("IPYCONTAINER_TEST_CACHE") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def busybox_layout() -> Path:
    """Return the layout of a one-layer image with Debian's static busybox and all its applets."""
    config = {"Cmd": ["sh"], "Env": [f"PATH={PATH}"]}
    size, changed = BUSYBOX.stat().st_size, int(BUSYBOX.stat().st_mtime)
    return layout(f"busybox-{size}-{changed}", config, write_busybox)


def debian_python_layout() -> Path:
    """Return the layout of a Debian (or Ubuntu) of this machine's release, with its python3."""
    config = {"Cmd": ["python3"], "Env": [f"PATH={PATH}", "LANG=C.UTF-8"]}
    return layout(_debian_name(), config, _write_debian)


def other_debian_python_layout(release: str) -> Path:
    """Return the same of another release of Debian: bullseye has Python 3.9, trixie 3.13."""
    config = {"Cmd": ["python3"], "Env": [f"PATH={PATH}", "LANG=C.UTF-8"]}
    return layout(f"python-{release}", config, partial(_write_debian, release=release))


def debian_languages_layout() -> Path:
    """Return the layout of a Debian with R, its Jupyter kernel and PyPy, and no other Python."""
    config = {"Cmd": ["R"], "Env": [f"PATH={PATH}", "LANG=C.UTF-8"]}
    return layout(f"languages-{_codename()}", config, _write_languages)


def debian_apt_layout() -> Path:
    """Return the layout of a Debian with apt and, in its cache, packages to be installed."""
    config = {"Cmd": ["bash"], "Env": [f"PATH={PATH}", "LANG=C.UTF-8"]}
    return layout(f"apt-{_codename()}", config, _write_debian_apt)


def kept_debian_python() -> bool:
    """Tell whether that layout was made before, so that nothing is needed to make it."""
    return kept(_debian_name())


def kept(name: str) -> bool:
    """Tell whether the layout `name` was made before."""
    return _place(name).exists()


def _debian_name() -> str:
    return f"python-{_codename()}"


def _place(name: str) -> Path:
    return cache() / f"{name}-{RECIPE}"


def _codename() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    return release["VERSION_CODENAME"].strip('"')


def layout(name: str, config: dict[str, Any], write: Callable[[BinaryIO], None]) -> Path:
    """Return the kept layout `name`, made of one layer that `write` writes as a tar if need be."""
    place = _place(name)
    if not place.exists():
        making = Path(tempfile.mkdtemp(dir=cache()))
        making.chmod(0o755)
        _write_layout(making, config, write)
        try:
            making.rename(place)
        except OSError:  # another run of the tests was first
            shutil.rmtree(making)
    return place


def _write_layout(place: Path, config: dict[str, Any], write: Callable[[BinaryIO], None]) -> None:
    (place / "blobs/sha256").mkdir(parents=True)
    (place / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    archive = io.BytesIO()
    write(archive)
    plain = archive.getvalue()
    vendor = "application/vnd.oci.image"
    layer = _blob(place, gzip.compress(plain, 6, mtime=0), f"{vendor}.layer.v1.tar+gzip")
    image = {
        "created": CREATED,
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(plain)]},
        "history": [{"created": CREATED, "created_by": "a test image made of Debian's packages"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{vendor}.manifest.v1+json",
        "config": _blob(place, json.dumps(image).encode(), f"{vendor}.config.v1+json"),
        "layers": [layer],
    }
    entry = _blob(place, json.dumps(manifest).encode(), f"{vendor}.manifest.v1+json")
    named = {**entry, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _blob(place: Path, content: bytes, media_type: str) -> dict[str, Any]:
    digest = _digest(content)
    (place / "blobs" / digest.replace(":", "/")).write_bytes(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def write_busybox(out: BinaryIO, more: Mapping[str, bytes] | None = None) -> None:
    """Write the busybox image's layer as a tar, with the files `more` besides."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, mode in _folders():
            _add(tar, folder, tarfile.DIRTYPE, mode=mode)
        _add(tar, "bin/busybox", content=BUSYBOX.read_bytes(), mode=0o755)
        for applet in applets.split():
            if applet != "busybox":
                _add(tar, f"bin/{applet}", tarfile.LNKTYPE, target="bin/busybox", mode=0o755)
        for name, text in _accounts():
            _add(tar, name, content=text.encode())
        for name, content in (more or {}).items():
            _add(tar, name, content=content, mode=0o755 if content[:4] == ELF else 0o644)


def _folders() -> Iterator[tuple[str, int]]:
    for name in ("bin", "dev", "etc", "home", "proc", "sbin", "sys", "usr", "usr/bin", "var"):
        yield name, 0o755
    yield from (("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777))


def _accounts() -> Iterator[tuple[str, str]]:
    yield (
        "etc/passwd",
        (
            "root:x:0:0:root:/root:/bin/sh\n"
            "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
            "www-data:x:33:33:www-data:/var/www:/bin/false\n"
            "nobody:x:65534:65534:nobody:/home:/bin/false\n"
        ),
    )
    yield (
        "etc/group",
        ("root:x:0:\ndaemon:x:1:\nmail:x:8:www-data\nwww-data:x:33:\nnogroup:x:65534:\n"),
    )


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    mode: int = 0o644,
    content: bytes = b"",
    target: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
    entry.mtime = 1_704_164_645
    tar.addfile(entry, io.BytesIO(content))


# Their scripts add users, give files away and set modes with a group's id.
TO_INSTALL = ("cron", "dbus")


def _write_debian(out: BinaryIO, release: str = "") -> None:
    _debootstrap(out, "--variant=essential", "--include=python3", release=release)


def _write_languages(out: BinaryIO) -> None:
    _debootstrap(out, "--variant=essential", "--include=r-cran-irkernel,pypy3")


def _write_debian_apt(out: BinaryIO) -> None:
    download = "apt-get -q install -y --download-only --no-install-recommends"
    _debootstrap(
        out,
        *("--variant=apt", "--include=adduser", "--skip=cleanup/apt"),
        f'--customize-hook=chroot "$1" {download} {" ".join(TO_INSTALL)} >&2',
        '--customize-hook=rm -rf "$1"/var/lib/apt/lists "$1"/var/cache/apt/*.bin',
    )


def _debootstrap(out: BinaryIO, *options: str, release: str = "") -> None:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    # A name of "-" writes the archive to standard output.
    command = ["mmdebstrap", "--quiet", *options, *excluded, "--format=tar"]
    command += [release or _codename(), "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed: {done.stderr.decode()[-1000:]}")
    out.write(done.stdout)
