"""Hooks: programs that the bundle wants run at points of a container's life, told its state."""

import json
import subprocess
from typing import Any

from ..errors import Unavailable


def run(spec: dict[str, Any], kind: str, state: dict[str, Any]) -> None:
    """Run the hooks of one kind in their order, with the state on standard input.

    Raises Unavailable for the first that fails.
    """
    for hook in (spec.get("hooks") or {}).get(kind) or ():
        _run(hook, kind, json.dumps(state))


def _run(hook: dict[str, Any], kind: str, state: str) -> None:
    variables = (entry.partition("=") for entry in hook.get("env") or ())
    what = f"{kind} hook {hook['path']}"
    try:
        done = subprocess.run(
            hook.get("args") or [hook["path"]],
            executable=hook["path"],
            env={name: value for name, _, value in variables},
            input=state,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=hook.get("timeout"),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{what} did not end within its {hook['timeout']} seconds") from error
    except OSError as error:
        raise Unavailable(f"{what} cannot be run: {error.strerror}") from error
    if done.returncode:
        why = " ".join(done.stderr.split())[:400]
        raise Unavailable(f"{what} has ended with {done.returncode}: {why}")
