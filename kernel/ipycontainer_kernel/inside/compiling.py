"""Import what a kernel imports, and print the bytecode of what was mounted as a tar archive.

Run with what was mounted, and what to print before the archive. Imports from a read-only folder are
compiled at every start otherwise, which takes longer than all else.
"""

import importlib
import importlib.util
import io
import os
import sys
import tarfile

# What the first cell, completion, widget, breakpoint and installation come to.
NEEDED = ("ipykernel.kernelapp", "ipykernel.zmqshell")
USUAL = (
    "ipykernel.debugger",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
    "IPython.core.magics",
    "IPython.core.display",
    "matplotlib_inline.backend_inline",
    "matplotlib_inline.config",
    "jedi",
    "jedi.api.completion",
    "jedi.inference.compiled.subprocess",
    "ipywidgets",
    "debugpy.server",
    "debugpy.server.api",
    "pip._internal.cli.main",
    "pip._internal.commands.install",
)


def main(mounted: str, mark: str) -> None:
    """Write the archive to what is standard output now; modules may print what they like."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.dont_write_bytecode = True
    sys.path += [mounted + "/site", mounted + "/pip"]
    load_libraries(mounted + "/lib")
    for name in NEEDED:
        importlib.import_module(name)
    for name in USUAL:
        try:
            importlib.import_module(name)
        except Exception as error:  # matplotlib's, for one, may lack its library
            print("%s: %s" % (name, error), file=sys.stderr)
    out.write(mark.encode())
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for module in list(sys.modules.values()):
            source = getattr(module, "__file__", None) or ""
            if source.startswith(mounted + "/") and source.endswith(".py"):
                _add(tar, mounted, source)


def load_libraries(folder: str) -> None:
    """Load the libraries that the image lacks, for extensions to find."""
    if os.path.isdir(folder):
        from ctypes import CDLL, RTLD_GLOBAL

        # In their order (libgcc_s, libm, …, libstdc++): the last needs those before it.
        for name in sorted(os.listdir(folder)):
            CDLL(os.path.join(folder, name), mode=RTLD_GLOBAL)


def _add(tar: tarfile.TarFile, folder: str, source: str) -> None:
    # The form of a .pyc whose source is known by its time and size: PEP 552.
    from importlib import _bootstrap_external as external

    with open(source, "rb") as file:
        text = file.read()
    found = os.stat(source)
    code = compile(text, source, "exec", dont_inherit=True)
    about = code, int(found.st_mtime), found.st_size
    content = bytes(external._code_to_timestamp_pyc(*about))  # type: ignore[attr-defined] # py_compile, its one user, writes files
    name = os.path.relpath(importlib.util.cache_from_source(source), folder)
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
