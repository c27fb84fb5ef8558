"""The verbs: one declaration each, for the magic and for the command line.

A verb is a click command: its flags, help, completion and handler stand together. Handlers write to
`session.surface` and return what a cell's last expression should be. Adding a verb is one function
with `@main.command()` in one of the modules imported here.
"""

from . import (  # noqa: F401 - each adds its verbs to `main`
    build,
    capturing,
    checkpoints,
    containers,
    copy,
    debug,
    diskusage,
    doctor,
    engine,
    execs,
    explaining,
    images,
    logins,
    looking,
    moving,
    networks,
    ports,
    python,
    run,
    searching,
    stats,
    streams,
    system,
    updating,
    volumes,
)
from .aliases import add_aliases
from .base import complete, invoke, main

add_aliases(main)
# Each of these is declared in the package of kernels, which stands on this one.
main.later = {
    "kernel": "ipycontainer_kernel.verbs.kernel:kernel",
    "lock": "ipycontainer_kernel.verbs.locking:lock",
    "verify": "ipycontainer_kernel.verbs.notebooks:verify",
}
main.of_notebooks = {"run": "ipycontainer_kernel.verbs.notebooks:run"}

__all__ = ["complete", "invoke", "main"]
