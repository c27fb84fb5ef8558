"""How a Python in a container becomes the sandbox's interpreter: our modules, sent as data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from .inside import ORDER

# Any Python can parse it, also one that is too old for the rest; its input is first the modules,
# each after a line with its name and size, then an empty line and the requests.
BOOT = """\
import os, sys, types
if sys.version_info < (3, 6):
    sys.exit(77)
if sys.path[:1] == [""]:
    del sys.path[0]
package = "ipycontainer_inside"
def module(name):
    made = sys.modules[name] = types.ModuleType(name)
    made.__package__ = package
    return made
parent = module(package)
parent.__path__ = []
incoming = os.fdopen(os.dup(0), "rb")
for line in iter(incoming.readline, b"\\n"):
    if not line:
        sys.exit(0)
    name, size = line.decode().split()
    current = module(package + "." + name)
    setattr(parent, name, current)
    code = compile(incoming.read(int(size)), "<ipycontainer " + name + ">", "exec")
    exec(code, current.__dict__)
current.serve(incoming)
"""
TOO_OLD = 77
PYTHONS = ("python3", "python")


@cache
def modules() -> bytes:
    """Return what is sent first."""
    parts = []
    for name in ORDER:
        source = files(f"{__package__}.inside").joinpath(f"{name}.py").read_bytes()
        parts.append(f"{name} {len(source)}\n".encode() + source)
    return b"".join([*parts, b"\n"])
