"""The command `ipycontainer VERB …`: the same verbs, on the process's own descriptors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .failures import ContainerExit, Failure
from .session import Session
from .terminal import Terminal

# A shell asks for completions by it: eval "$(_IPYCONTAINER_COMPLETE=bash_source ipycontainer)".
COMPLETE_VARIABLE = "_IPYCONTAINER_COMPLETE"
DEBUG_VARIABLE = "IPYCONTAINER_DEBUG"
_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; errors are one line on standard error.

    A failed container's code is passed on without a word, as the `docker` command does, unless
    memory was the reason. `IPYCONTAINER_DEBUG=1` shows the traceback of a defect.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python flushes at exit, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


def _run(arguments: list[str]) -> int:
    from . import connect
    from .verbs import complete, invoke

    session = Session(Terminal(), connect)
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        return complete(session, COMPLETE_VARIABLE, instruction)
    try:
        invoke(session, arguments)
    except ContainerExit as failure:
        if failure.memory is not None:
            _complain(str(failure))
        return failure.exit_code
    except Failure as failure:
        _complain(str(failure))
        return failure.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        _complain(f"a defect: {type(error).__name__}: {error}; {DEBUG_VARIABLE}=1 shows where")
        return 1
    sys.stdout.flush()
    return 0


def _complain(message: str) -> None:
    print(f"ipycontainer: {message}", file=sys.stderr)
