"""`login` and `logout`: the registries that know this person."""

from __future__ import annotations

import click

from ..failures import Failure, Usage
from ..scripted import Taken
from ..session import Session
from .base import InputValue, flag, main, pass_session

_HUB = "docker.io"


@main.command()
@click.option("-u", "--username", metavar="NAME", help="The user's name.")
@click.option(
    "-p",
    "--password",
    type=InputValue(),
    metavar="{VARIABLE}",
    help="The password or token; leave it out to be asked.",
)
@flag("--password-stdin", help="Read the password from standard input, on the command line.")
@click.argument("server", default=_HUB, metavar="[SERVER]")
@pass_session
def login(
    session: Session,
    server: str,
    *,
    username: str | None,
    password: str | None,
    password_stdin: bool,
) -> None:
    """Log in to a registry, Docker Hub if none is named.

    The login is kept in Docker's config.json, or by the credential helper that this names.
    """
    from ipycontainer_runtime.client import logins

    known = logins()
    given = _given(session, username, password, from_input=password_stdin)
    kept = known.header(server) if given is None and username is None else {}
    if kept:
        session.surface.note("Authenticating with existing credentials...")
        try:
            _check(session, kept)
        except Failure as error:
            session.surface.note(f"They are not accepted any more: {error}")
        else:
            session.surface.say("Login Succeeded")
            return
    name = username or session.surface.question("Username: ", hidden=False)
    if not name:
        raise Usage(f"no user name was given for {server}")
    asks = given is None
    secret = session.surface.question("Password: ", hidden=True) if asks else given
    if not secret:
        raise Usage(f"no password was given for {name} at {server}")
    token = _check(session, known.request(server, name, secret))
    where = known.remember(server, name, secret, token)
    session.surface.note(f"The login is kept in {where}.")
    session.surface.say("Login Succeeded")


@main.command()
@click.argument("server", default=_HUB, metavar="[SERVER]")
@pass_session
def logout(session: Session, server: str) -> None:
    """Forget the login to a registry, Docker Hub if none is named."""
    from ipycontainer_runtime.client import logins

    if logins().forget(server):
        session.surface.say(f"Removing login credentials for {server}")
    else:
        session.surface.say(f"Not logged in to {server}")


def _given(
    session: Session, username: str | None, password: str | None, *, from_input: bool
) -> str | None:
    """Return the password that came with the line, which must not be in a notebook's text."""
    notebook = session.program.startswith("%")
    if from_input and password is not None:
        raise Usage("-p and --password-stdin are two ways to give one password: write one of them")
    if (from_input or password is not None) and not username:
        raise Usage("write -u NAME with a password: whose is it?")
    if from_input and notebook:
        raise Usage(
            "--password-stdin would take the cell's body, which the notebook keeps: leave it out to"
            " be asked, or write -p {VARIABLE}"
        )
    if from_input:
        return session.surface.code().rstrip("\r\n")
    if password is None:
        return None
    if notebook and not isinstance(password, Taken):
        raise Usage(
            "-p with the password itself would leave it in the notebook: leave it out to be asked,"
            " or write -p {VARIABLE}"
        )
    if not notebook:
        session.surface.note(
            "WARNING: a password on the command line is in the shell's history and seen by others:"
            " use --password-stdin"
        )
    return str(password)


def _check(session: Session, sent: dict[str, str]) -> str:
    """Have the engine try a login; return the identity token that stands for it, if any."""
    from docker.errors import APIError

    api = session.api
    try:
        response = api._post_json(api._url("/auth"), data=sent)
        api._raise_for_status(response)
    except APIError as error:
        raise Failure(f"{error.explanation}; registry {sent['serveraddress']}") from None
    return str(response.json().get("IdentityToken") or "")
