"""What a test needs of the machine: asked once, skipped aloud, and never silently in CI.

`pytest.mark.needs("dockerd", …)` on a test, or `require("dockerd")` in a fixture, skips with the
reason when the machine lacks it. `IPYCONTAINER_MUST_WORK` turns the skip into a failure: it names
capabilities, separated by commas, or is `all` for every one that a package can give to this user
(those that only another kernel could give are asked for by name).
"""

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from ctypes import CDLL
from ctypes.util import find_library
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

CLONE_NEWUSER = 0x10000000
MUST_WORK = "IPYCONTAINER_MUST_WORK"


class Capability(NamedTuple):
    """`missing()` says in a few words what is not there, or returns an empty string."""

    missing: Callable[[], str]
    of_the_kernel: bool = False
    root_only: bool = False


def _command(name: str, package: str) -> Capability:
    return Capability(lambda: "" if shutil.which(name) else f"no {name}: apt install {package}")


def _root() -> str:
    return "" if os.getuid() == 0 else f"user id is {os.getuid()}, not 0"


def _dockerd() -> str:
    return _root() or ("" if shutil.which("dockerd") else "no dockerd: apt install docker.io")


def _busybox() -> str:
    found = Path("/bin/busybox")
    return "" if found.exists() else "no /bin/busybox: apt install busybox-static"


def _tun() -> str:
    device = Path("/dev/net/tun")
    everybodys = device.exists() and device.stat().st_mode & 0o006 == 0o006
    return "" if everybodys else f"{device} is not everybody's: chmod 0666 {device}, as udev does"


def _headers() -> str:
    found = Path("/usr/include/linux/capability.h")
    return "" if found.exists() else f"no {found}: apt install linux-libc-dev"


def _libseccomp() -> str:
    return "" if find_library("seccomp") else "no libseccomp: apt install libseccomp2"


def _user_namespaces() -> str:
    pid = os.fork()
    if pid == 0:
        os._exit(CDLL(None).unshare(CLONE_NEWUSER))
    refused = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "this kernel refuses user namespaces" if refused else ""


def _debian_keys() -> str:
    found = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return "" if found.exists() else f"no {found}: apt install debian-archive-keyring"


def _playwright() -> str:
    found = importlib.util.find_spec("playwright")
    return "" if found else "no playwright: pip install -r tests/requirements.txt"


def _musl() -> str:
    """Say what lacks of what a CPython for musl is built with."""
    tools = {"musl-gcc": "musl-tools", "make": "make", "tclsh": "tcl"}
    lacking = [package for tool, package in tools.items() if not shutil.which(tool)]
    told = f"nothing to build for musl with: apt install {' '.join(lacking)}" if lacking else ""
    return _x86_64() or _debian_keys() or _headers() or told


def _x86_64() -> str:
    machine = os.uname().machine
    return "" if machine == "x86_64" else f"this machine is an {machine}"


def _cgroup2() -> str:
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if controllers.exists() and "memory" in controllers.read_text():
        return ""
    return "the machine runs cgroup v1"


def _cgroup1() -> str:
    memory = Path("/sys/fs/cgroup/memory")
    return "" if memory.is_dir() else "the machine has no cgroup v1 memory hierarchy"


def _user_session() -> str:
    if os.getuid() == 0:
        return "root has no need of one"
    bus = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere", "bus")
    return "" if bus.exists() else f"no session of systemd's: {bus} is not there"


def _limits() -> str:
    from ipycontainer_runtime.linux import cgroup

    return cgroup.detect().reason


CAPABILITIES = {
    "busybox": Capability(_busybox),
    "chromium": _command("chromium", "chromium"),
    "cgroup1": Capability(_cgroup1, of_the_kernel=True),
    "cgroup2": Capability(_cgroup2, of_the_kernel=True),
    "crun": _command("crun", "crun"),
    "debian keys": Capability(_debian_keys),
    "docker": _command("docker", "docker.io"),
    "docker-compose": _command("docker-compose", "docker-compose"),
    "docker-registry": _command("docker-registry", "docker-registry"),
    "dockerd": Capability(_dockerd, root_only=True),
    "dpkg-deb": _command("dpkg-deb", "dpkg"),
    "firewalld": _command("firewalld", "firewalld"),
    "git": _command("git", "git"),
    "iptables": _command("iptables", "iptables"),
    "kernel headers": Capability(_headers),
    "libseccomp": Capability(_libseccomp),
    "limits": Capability(_limits, of_the_kernel=True),
    "mmdebstrap": _command("mmdebstrap", "mmdebstrap"),
    "musl": Capability(_musl),
    "newuidmap": _command("newuidmap", "uidmap"),
    "nft": _command("nft", "nftables"),
    "openssl": _command("openssl", "openssl"),
    "pasta": _command("pasta", "passt"),
    "playwright": Capability(_playwright),
    "podman": _command("podman", "podman"),
    "ps": _command("ps", "procps"),
    "qemu": _command("qemu-system-x86_64", "qemu-system-x86"),
    "root": Capability(_root, root_only=True),
    "runc": _command("runc", "runc"),
    "setpriv": _command("setpriv", "util-linux"),
    "skopeo": _command("skopeo", "skopeo"),
    "slirp4netns": _command("slirp4netns", "slirp4netns"),
    "tun": Capability(_tun, of_the_kernel=True),
    "pass": _command("docker-credential-pass", "golang-docker-credential-helpers pass gnupg"),
    "ufw": _command("ufw", "ufw"),
    "user_session": Capability(_user_session, of_the_kernel=True),
    "user_namespaces": Capability(_user_namespaces, of_the_kernel=True),
    "x86_64": Capability(_x86_64, of_the_kernel=True),
}


@functools.cache
def missing(name: str) -> str:
    """Return why this machine lacks the capability `name`, or an empty string when it has it."""
    return CAPABILITIES[name].missing()


def must_work(name: str) -> bool:
    """Tell whether the absence of `name` is a failure here."""
    asked = os.environ.get(MUST_WORK, "").split(",")
    capability = CAPABILITIES[name]
    within_all = not capability.of_the_kernel and not (capability.root_only and os.getuid())
    return name in asked or ("all" in asked and within_all)


def require(*names: str) -> None:
    """Skip the running test aloud when the machine lacks any of `names`, or fail it."""
    for name in names:
        if reason := missing(name):
            lack(name, reason)


def lack(name: str, reason: str) -> NoReturn:
    """Skip the running test aloud for want of `name`, or fail it."""
    if must_work(name):
        pytest.fail(f"{name} must work here ({MUST_WORK}): {reason}", pytrace=False)
    pytest.skip(f"needs {name}: {reason}")
