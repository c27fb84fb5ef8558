"""Print what this Python is, as one line of JSON. Any Python 3 can run it."""

import json
import os
import platform
import sys


def libc() -> "tuple[str, str]":
    """Return ("glibc" or "musl" or "", its version or "")."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (AttributeError, OSError, ValueError):
        return _musl()
    else:
        return name, version


def _musl() -> "tuple[str, str]":
    # musl's loader is in the map of every program that uses it, and says its version when run.
    try:
        with open("/proc/self/maps") as maps:
            loaders = [line.split()[-1] for line in maps if "/ld-musl-" in line]
        if not loaders:
            return "", ""
        import subprocess

        asked = subprocess.Popen([loaders[0]], stderr=subprocess.PIPE)
        told = asked.communicate()[1].decode("ascii", "replace")
        versions = [line.split()[1] for line in told.splitlines() if line.startswith("Version ")]
        return "musl", versions[0] if versions else "1.2"
    except (OSError, IndexError):
        return "", ""


def distributions() -> "list[list[str]]":
    """Return the name and version of everything that is installed."""
    try:
        from importlib.metadata import distributions as found
    except ImportError:
        return []
    return sorted([str(one.metadata["Name"]), str(one.version)] for one in found())


def has(name: str) -> bool:
    """Tell whether a module of that name could be imported."""
    try:
        from importlib.util import find_spec

        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


# Of what PEP 600 takes for granted, all that a kernel's extensions link to.
LIBRARIES = ["libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"]
LIBRARIES.append("librt.so.1")


def lacks() -> "list[str]":
    """Return the libraries that wheels expect to find, and that cannot be loaded here."""
    missing = []
    for name in LIBRARIES:
        try:
            from ctypes import CDLL

            CDLL(name)
        except (ImportError, OSError):
            missing.append(name)
    return missing


def facts() -> "dict[str, object]":
    """Return all of it."""
    import sysconfig

    kind, version = libc()
    return {
        "implementation": platform.python_implementation(),
        "version": list(sys.version_info[:3]),
        "threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "tag": getattr(getattr(sys, "implementation", None), "cache_tag", None) or "",
        "executable": sys.executable,
        "libc": kind,
        "libc_version": version,
        "machine": platform.machine(),
        "lacks": lacks(),
        "ipykernel": has("ipykernel"),
        "pip": has("pip"),
        "distributions": distributions(),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))
