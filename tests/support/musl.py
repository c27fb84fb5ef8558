"""An image with a CPython for musl, which no registry here has: built of Debian's sources.

The stdlib's extensions need OpenSSL, zlib, libffi and SQLite; they are linked statically, so that
the image is musl's loader, busybox and Python. apt verifies all of it by Debian's signatures, and
the release is a fixed one. It takes some minutes once, and is kept with the other test images.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from support import images

RELEASE, PYTHON = "bookworm", "3.11"
NAME = f"musl-python-{PYTHON}"
SOURCES = (f"python{PYTHON}", "openssl", "zlib", "libffi", "sqlite3")
LOADER = Path("/lib/ld-musl-x86_64.so.1")
# Kernels load none of these; with them OpenSSL takes thrice the time.
WITHOUT = (
    "no-afalgeng no-aria no-asm no-async no-bf no-camellia no-cast no-cmp no-cms no-comp"
    " no-ct no-dsa no-dso no-dtls no-ec2m no-engine no-gost no-idea no-legacy no-md4"
    " no-mdc2 no-ocsp no-psk no-rc2 no-rc4 no-rfc3779 no-rmd160 no-seed no-shared"
    " no-siphash no-sm2 no-sm3 no-sm4 no-srp no-srtp no-ssl-trace no-tests no-ts"
    " no-ui-console no-whirlpool"
)
# What would be found of this machine's own libraries, which are glibc's.
DISABLED = (
    "_bz2 _crypt _curses _curses_panel _dbm _gdbm _lzma _tkinter _uuid nis ossaudiodev readline"
    " spwd"
)
UNUSED = ("test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "config-")


def musl_python_layout() -> Path:
    """Return the layout of a busybox with musl and a CPython for it, in /usr/local."""
    config = {"Cmd": ["python3"], "Env": [f"PATH={images.PATH}", "LANG=C.UTF-8"]}
    return images.layout(NAME, config, _write)


def kept_musl_python() -> bool:
    """Tell whether that layout was made before, so that nothing is needed to make it."""
    return images.kept(NAME)


def _write(out: BinaryIO) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _Build(Path(folder)).write(out)


class _Build:
    """One build, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built = folder / "built"
        self._kernel = folder / "kernel"
        self._environment = {
            **os.environ,
            "CC": str(folder / "cc"),
            "CFLAGS": f"-O1 -fPIC -w -isystem {self._kernel}",
            "CPPFLAGS": f"-I{self._built}/include",
            "LDFLAGS": f"-L{self._built}/lib",
            "PKG_CONFIG_LIBDIR": f"{self._built}/lib/pkgconfig",
        }

    def write(self, out: BinaryIO) -> None:
        """Build it, and write the layer as a tar."""
        self._set_up()
        self._fetch()
        self._build_libraries()
        files = {str(path): file.read_bytes() for path, file in self._python()}
        images.write_busybox(out, {str(LOADER).lstrip("/"): LOADER.read_bytes(), **files})

    def _set_up(self) -> None:
        self._kernel.mkdir()
        multiarch = Path("/usr/include/x86_64-linux-gnu/asm")
        for name in (Path("/usr/include/linux"), Path("/usr/include/asm-generic"), multiarch):
            (self._kernel / name.name).symlink_to(name)
        # gcc answers with glibc's: Python's configure would stop, and its setup.py add its headers.
        compiler = self._folder / "cc"
        compiler.write_text(
            '#!/bin/sh\ncase "$*" in\n*-print-multiarch*) exec echo x86_64-linux-musl ;;\nesac\n'
            'exec musl-gcc -w -pipe "$@"\n'
        )
        compiler.chmod(0o755)

    def _fetch(self) -> None:
        apt = self._folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (apt / name).mkdir(parents=True)
        (apt / "sources.list").write_text(
            "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
            f" http://deb.debian.org/debian {RELEASE} main\n"
        )
        (apt / "apt.conf").write_text(
            f'Dir::Etc::SourceList "{apt}/sources.list";\nDir::Etc::SourceParts "/dev/null";\n'
            f'Dir::State::Lists "{apt}/lists";\nDir::Cache "{apt}/cache";\n'
            'APT::Sandbox::User "root";\n'
        )
        self._environment["APT_CONFIG"] = str(apt / "apt.conf")
        self._run("apt-get -q update")
        self._run(f"apt-get -q source --download-only {' '.join(SOURCES)}")
        for archive in self._folder.glob("*.orig.tar.*"):
            if archive.suffix != ".asc":
                self._run(f"tar -xf {archive}")

    def _build_libraries(self) -> None:
        to = f"--prefix={self._built}"
        self._run(f"./configure --static {to} && make -j2 libz.a && make install", "zlib-*/")
        self._run(
            f"./configure --disable-shared --disable-docs {to} && make -j2 install", "libffi-*/"
        )
        self._run("./configure --disable-tcl && make sqlite3.c", "sqlite3-*/")
        self._run(
            f"$CC $CFLAGS -c sqlite3.c && ar rcs {self._built}/lib/libsqlite3.a sqlite3.o"
            f" && cp sqlite3.h {self._built}/include",
            "sqlite3-*/",
        )
        self._run(
            f"./Configure linux-x86_64 {to} --libdir=lib {WITHOUT}"
            " && make -j2 build_libs && make install_dev",
            "openssl-*/",
        )

    def _python(self) -> Iterator[tuple[Path, Path]]:
        """Build it; yield its files, by their names in the image."""
        source = self._found("Python-*/")
        (source / "Modules/Setup.local").write_text(f"*disabled*\n{DISABLED}\n")
        self._run(
            f"./configure -q --prefix=/usr/local --with-openssl={self._built}"
            " --disable-test-modules --without-ensurepip"
            " && make -s -j2 OPT=-DNDEBUG python && make -s -j2 OPT=-DNDEBUG sharedmods",
            "Python-*/",
        )
        place = Path("usr/local/bin")
        for name in (f"python{PYTHON}", "python3"):
            yield place / name, source / "python"
        library = Path(f"usr/local/lib/python{PYTHON}")
        for path in (source / "Lib").rglob("*.py"):
            name = path.relative_to(source / "Lib")
            if name.parts[0] not in UNUSED:
                yield library / name, path
        packages = "site-packages/README.txt"  # a folder that is not there is not on sys.path
        yield library / packages, source / "Lib" / packages
        for path in source.glob("build/lib.*/*"):
            if path.suffix == ".so":
                yield library / "lib-dynload" / path.name, path
            elif path.suffix == ".py":  # what sysconfig knows of this build
                yield library / path.name, path

    def _found(self, pattern: str) -> Path:
        (found,) = self._folder.glob(pattern)
        return found

    def _run(self, command: str, where: str = ".") -> None:
        folder = self._found(where) if where != "." else self._folder
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace")[-1000:]
            raise RuntimeError(f"{command!r} in {folder.name} failed: {said}")
