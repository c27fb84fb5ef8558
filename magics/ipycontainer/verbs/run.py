"""`run`, `create`, `start` and `attach`: a container's life with its streams in the cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ..attached import Attended
from ..endings import Ending, check_ending, start_failure
from ..explain.unwatched import Unwatched
from ..failures import ENGINE_FAILED, Failure, Usage
from ..inputs import tells
from ..published import Published, machine, of_document
from ..session import Session
from ..surface import Kind
from ..transfers import pull as pull_image
from .base import (
    PASSTHROUGH,
    container_argument,
    flag,
    image_argument,
    inputs,
    is_notebook,
    main,
    pass_session,
    variables,
)
from .endpoints import networking_of
from .options import Flags, container_options
from .preferred import PreferredCommand
from .settings import OWN_FLAGS, config_of, host_config_of, more_host_config

if TYPE_CHECKING:
    from docker.models.containers import Container

_command = click.argument("command", nargs=-1, type=click.UNPROCESSED)
_detach_keys = click.option("--detach-keys", metavar="KEYS", help="Keys that leave it running.")
_sig_proxy = click.option(
    "--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the container."
)


@main.command(cls=PreferredCommand, context_settings=PASSTHROUGH)
@flag("-d", "--detach", help="Leave it running and return the container.")
@click.option(
    "-a",
    "--attach",
    "attached",
    multiple=True,
    type=click.Choice(["stdin", "stdout", "stderr"], case_sensitive=False),
    help="Attach only to this stream.",
)
@inputs
@variables
@_detach_keys
@_sig_proxy
@container_options
@image_argument()
@_command
@pass_session
def run(
    session: Session, /, image: str, command: tuple[str, ...], **flags: Any
) -> Container | None:
    """Make a container from IMAGE and run COMMAND in it.

    The image is pulled when it is missing. With -i a cell's body is the standard input; without a
    body the cell asks when the command waits for input, and with -it it shows a terminal, which
    lives on when the cell has ended. When the command fails, so does the cell; interrupting the
    cell stops the container.

    `run NOTEBOOK.ipynb` runs a notebook in the sandbox that it names; `run NOTEBOOK.ipynb --help`
    tells its flags.
    """
    if is_notebook(image):
        raise Usage(f"{image} is a notebook, and its flags come after it: run {image} [FLAGS]")
    session.surface.redirect(flags["out_name"], flags["err_name"])
    _take_input(session, flags)
    watch = _watch(session, flags)
    with _engines_fault(session):
        container = _create(session, image, command, flags, watch)
    if flags["detach"]:
        with watch.explaining(session, container):
            watch.start(lambda: _start(session, container))
        _tell_ports(session, container, flags)
        return _returned(session, container)
    attended = _attended(session, container, flags)

    def begin() -> None:
        watch.start(lambda: _start(session, container))
        _tell_ports(session, container, flags)

    with watch.explaining(session, container):
        ending = attended.run(
            stdin=flags["interactive"],
            start=begin,
            proxy=flags["sig_proxy"],
            detach_keys=flags["detach_keys"],
            streams=_streams(flags["attached"]),
        )
    if ending is not None and _bad(ending):
        check_ending(session, container, ending, name=flags["name"], flags=flags)
    return None


def _watch(session: Session, flags: Flags) -> Unwatched:
    if not flags["explain"]:
        return Unwatched()
    from ..explain.watching import Watch

    watch = Watch(session)
    if not watch.engine_explains:
        flags["explain"] = False  # it would not know the annotation
    return watch


@main.command(cls=PreferredCommand, context_settings=PASSTHROUGH)
@container_options
@image_argument()
@_command
@pass_session
def create(session: Session, /, image: str, command: tuple[str, ...], **flags: Any) -> Container:
    """Make a container from IMAGE that is not started yet, and return it."""
    return _returned(session, _create(session, image, command, flags, Unwatched()))


@main.command()
@flag("-a", "--attach", "attached", help="Show its output and wait for its end.")
@flag("-i", "--interactive", help="Send standard input: a cell's body, or what is piped in.")
@inputs
@variables
@_detach_keys
@_sig_proxy
@container_argument(many=True)
@pass_session
def start(session: Session, /, containers: tuple[str, ...], **flags: Any) -> None:
    """Start containers that were made or have ended."""
    session.surface.redirect(flags["out_name"], flags["err_name"])
    _take_input(session, flags)
    if not (flags["attached"] or flags["interactive"]):
        session.each(containers, lambda name: _start(session, name))
        return
    if len(containers) > 1:
        raise Usage("start -a and -i take one container")
    _attend(session, containers[0], flags, start=True)


@main.command()
@click.option("--no-stdin", is_flag=True, help="Send no standard input.")
@inputs
@variables
@_detach_keys
@_sig_proxy
@container_argument()
@pass_session
def attach(session: Session, /, container: str, **flags: Any) -> None:
    """Show a running container's output until it ends; a cell's body is its input.

    Without a body the cell asks when the container waits for input. Interrupting the cell leaves
    the container running.
    """
    surface = session.surface
    surface.redirect(flags["out_name"], flags["err_name"])
    if flags["inputs"]:
        surface.script(flags["inputs"])
    reads = surface.input is not Kind.PERSON or surface.shows_terminals or tells(session)
    stdin = reads and not flags["no_stdin"]
    _attend(session, container, {**flags, "interactive": stdin}, start=False)


def _take_input(session: Session, flags: Flags) -> None:
    """Take `--input`, which stands for -i."""
    if flags["inputs"]:
        session.surface.script(flags["inputs"])
        flags["interactive"] = True


def _attend(session: Session, name: str, flags: Flags, *, start: bool) -> None:
    details = session.api.inspect_container(name)
    if not start and not details["State"]["Running"]:
        raise Failure(
            f"container {name} is not running; start it with `{session.program} start -a {name}`"
        )
    config, host = details["Config"], details["HostConfig"]
    attended = Attended(
        session,
        details["Id"],
        name=name,
        tty=config["Tty"],
        removed=bool(host.get("AutoRemove")),
        stops=start,
        grace=config.get("StopTimeout"),
    )
    ending = attended.run(
        stdin=flags["interactive"] and config["OpenStdin"],
        start=(lambda: _start(session, details["Id"])) if start else None,
        proxy=flags["sig_proxy"],
        detach_keys=flags["detach_keys"],
    )
    if ending is not None and _bad(ending):
        check_ending(session, details["Id"], ending, name=name, flags={})


def _bad(ending: Ending) -> bool:
    """Tell whether a cell is to fail; what was stopped for its time may still have ended with 0."""
    return bool(ending.code or ending.fault)


def _attended(session: Session, container: str, flags: Flags) -> Attended:
    return Attended(
        session,
        container,
        name=flags["name"] or container[:12],
        tty=flags["tty"],
        removed=flags["auto_remove"],
        stops=True,
        grace=flags["stop_timeout"],
    )


def _streams(attached: tuple[str, ...]) -> tuple[bool, bool]:
    return (not attached or "stdout" in attached, not attached or "stderr" in attached)


def _create(
    session: Session, image: str, command: tuple[str, ...], flags: Flags, watch: Unwatched
) -> str:
    """Make a container, give the engine's warnings, and return its id."""
    api = session.api
    _check_own_flags(session, flags)
    host = api.create_host_config(**host_config_of(flags))
    host.update(more_host_config(flags))
    config = api.create_container_config(**config_of(flags, image, command), host_config=host)
    config.update(networking_of(flags))
    if flags["pull"] == "always":
        _fetch(session, image, flags)
    with session.naming(image), _id_file(flags["cidfile"]) as id_file:
        made = _create_pulling(session, config, image, flags, watch)
        if id_file is not None:
            id_file.write(made["Id"])
    for warning in made.get("Warnings") or ():
        session.warn(warning)
    return str(made["Id"])


def _check_own_flags(session: Session, flags: Flags) -> None:
    """Refuse what only our engine does where it would be ignored."""
    asked = [flag for flag, name in OWN_FLAGS.items() if flags[name]]
    if asked and "faults" not in session.extensions():
        raise Failure(
            f"{asked[0]} is ipycontainer's own, and {session.address} is another engine: "
            "leave it out",
            ENGINE_FAILED,
        )


@contextmanager
def _id_file(name: str | None) -> Iterator[IO[str] | None]:
    """Open the file of `--cidfile` before there is a container that it could not be told of."""
    if name is None:
        yield None
        return
    try:
        file = open(name, "x", encoding="ascii")  # noqa: SIM115 - closed below, or removed
    except FileExistsError as error:
        raise Usage(
            f"--cidfile {name!r}: there is such a file; delete it or name another"
        ) from error
    try:
        with file:
            yield file
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _create_pulling(
    session: Session, config: Any, image: str, flags: Flags, watch: Unwatched
) -> dict[str, Any]:
    from docker.errors import ImageNotFound

    def make() -> dict[str, Any]:
        arguments = config, flags["name"], flags["platform"]
        with watch.step("ask for the container (POST /containers/create)"):
            return dict(session.api.create_container_from_config(*arguments))

    try:
        return make()
    except ImageNotFound:
        if flags["pull"] != "missing":
            raise
    session.surface.note(f"Unable to find image '{image}' here; pulling it")
    with watch.step("pull the image"):
        _fetch(session, image, flags)
    return make()


def _fetch(session: Session, image: str, flags: Flags) -> None:
    pull_image(session, image, platform=flags["platform"], quiet=flags["quiet"], aside=True)


@contextmanager
def _engines_fault(session: Session) -> Iterator[None]:
    """What fails before there is a container is the engine's: 125 on the command line."""
    try:
        yield
    except Exception as error:
        failure = session.explained(error)
        failure.exit_code = ENGINE_FAILED
        raise failure from (None if failure is error else error)


def _start(session: Session, container: str) -> None:
    from docker.errors import APIError

    try:
        session.api.start(container)
    except APIError as error:
        if error.status_code == 404 and "No such container" in str(error.explanation):
            raise
        raise start_failure(error, session.program) from error


def _tell_ports(session: Session, container: str, flags: Flags) -> None:
    """Show where the ports that were asked for are; one that has ended has none."""
    if not (flags["publish"] or flags["publish_all"]):
        return
    from docker.errors import NotFound

    try:
        found = of_document(session.api.inspect_container(container))
    except NotFound:
        return
    if found:
        name = flags["name"] or container[:12]
        here = machine(session.address)
        session.surface.show_aside(Published(found, f"Published by {name}", here))


def _returned(session: Session, container: str) -> Container:
    """Say the container's id, as the `docker` command does, and return the object."""
    session.surface.say(container)
    return session.client.containers.get(container)
