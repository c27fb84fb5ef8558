"""`engine`: the engine's own process, for the command line and for foreign clients."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone

import click

from ..failures import Failure
from ..session import Session
from ..units import ago
from .base import main, pass_session


@main.group(no_args_is_help=False)
def engine() -> None:
    """Start, find and stop ipycontainer's own engine."""


@engine.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run the engine in the foreground until it is interrupted."""
    command = [sys.executable, "-m", "ipycontainer_runtime", "serve", *arguments]
    try:
        code = subprocess.call(command)
    except KeyboardInterrupt:
        return
    if code:
        raise Failure(f"the engine ended with exit code {code}", code if code > 0 else 1)


@engine.command()
@pass_session
def url(session: Session) -> None:
    """Start the engine, keep it up, and print the DOCKER_HOST for other clients."""
    from ipycontainer_runtime import client

    session.surface.say(client.url())


@engine.command()
@pass_session
def pid(session: Session) -> None:
    """Print the engine's process id; fails when it does not run."""
    from ipycontainer_runtime import client

    if (found := client.pid()) is None:
        raise Failure("the engine does not run; the next verb starts it")
    session.surface.say(str(found))


@engine.command()
@pass_session
def status(session: Session) -> None:
    """Print how the engine is; fails when it does not run."""
    from ipycontainer_runtime import client

    if (found := client.status()) is None:
        raise Failure("the engine does not run; the next verb starts it")
    started = datetime.fromtimestamp(found.started_at, timezone.utc).timestamp()
    facts = {
        "Engine": f"{found.version}, process {found.pid}, started {ago(started).lower()}",
        "Socket": found.socket,
        "Data": found.root,
        "Log": found.log,
        "Mode": "rootless" if found.rootless else "root",
        "Leaves": "when told to" if found.kept else "when idle",
    }
    for name, value in facts.items():
        session.surface.say(f"{name + ':':9}{value}")


@engine.command()
@pass_session
def stop(session: Session) -> None:
    """Stop the engine; containers go on, and the next engine finds them."""
    from ipycontainer_runtime import client

    session.surface.say("stopped" if client.stop() else "the engine did not run")


@engine.command()
@pass_session
def logs(session: Session) -> None:
    """Print what the engine has written to its log."""
    from ipycontainer_runtime import client

    if text := client.logs().rstrip("\n"):
        session.surface.say(text)
