"""The root of all verbs, and what their declarations share."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

# The container's own flags come after the image and are not ours to read.
PASSTHROUGH = {"allow_interspersed_args": False}

pass_session = click.make_pass_decorator(Session)


class Verbs(click.Group):
    """The root. Verbs of packages that stand on this one are imported when they are asked for."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.later: dict[str, str] = {}
        """Where each of those is: `module:attribute`."""
        self.of_notebooks: dict[str, str] = {}
        """The same for what a verb does when a notebook is the word after it."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb by its name."""
        if cmd_name in self.later:
            return _imported(self.later[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that a line names, and its arguments."""
        if len(args) > 1 and args[0] in self.of_notebooks and is_notebook(args[1]):
            return args[0], _imported(self.of_notebooks[args[0]]), args[1:]
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs in their order."""
        return sorted([*super().list_commands(ctx), *self.later])


def _imported(name: str) -> click.Command:
    module, _, attribute = name.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


def is_notebook(word: str) -> bool:
    """Tell whether a word names a notebook: what is there by it and is no file is refused later."""
    return word.endswith(".ipynb") and os.path.lexists(word)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    no_args_is_help=False,
)
def main() -> None:
    """Docker-style containers: pull, run and commit from a notebook or a terminal."""


def invoke(session: Session, arguments: Sequence[str]) -> object:
    """Run the verb that `arguments` name and return what it returns.

    Raises `Failure` for what a person can cure; anything else is a defect.
    """
    from ..failures import explain

    given = list(arguments) or ["--help"]
    try:
        with main.make_context(session.program, given, obj=session) as context:
            return main.invoke(context)
    except click.exceptions.Exit:  # after --help
        return None
    except Exception as error:
        if isinstance(error, click.UsageError) and error.ctx is None:
            error.ctx = _context(session.program, given[0])
        failure = explain(error, session.program)
        if failure is None or failure is error:
            raise
        raise failure from error


def _context(program: str, verb: str) -> click.Context:
    """Return the verb's context: click forgets it when a flag's value is missing."""
    root = click.Context(main, info_name=program)
    known = main.get_command(root, verb)
    return root if known is None else click.Context(known, info_name=verb, parent=root)


def complete(session: Session, variable: str, instruction: str) -> int:
    """Answer a shell's question for completions, or with the script that asks it; an exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(main, {"obj": session}, session.program, variable, instruction)


def completed(names: Callable[[Session], list[str]], always: Sequence[str] = ()) -> Any:
    """Return a completion callback that offers `always`, and the names which the engine knows."""

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        session = context.find_object(Session)
        found = dict.fromkeys(always)
        try:
            found |= dict.fromkeys(names(session) if session else ())
        except Exception as error:
            # No engine, no names of it. A defect of our own is still raised.
            assert session is not None, "asked for its names"
            session.explained(error)
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]

    return complete


def _container_names(session: Session) -> list[str]:
    entries = session.api.containers(all=True)
    return [name.lstrip("/") for entry in entries for name in entry["Names"]]


def image_names(session: Session) -> list[str]:
    """Return the names of the images that there are."""
    tags = [tag for entry in session.api.images() for tag in entry["RepoTags"] or ()]
    return [name for tag in tags if tag != "<none>:<none>" for name in _spellings(tag)]


def _spellings(tag: str) -> list[str]:
    """`latest` may be left away, and is offered so."""
    return [tag.removesuffix(":latest"), tag] if tag.endswith(":latest") else [tag]


def network_names(session: Session) -> list[str]:
    """Return the names of the networks that there are."""
    return [entry["Name"] for entry in session.api.networks()]


def _volume_names(session: Session) -> list[str]:
    return [entry["Name"] for entry in session.api.volumes()["Volumes"] or ()]


def _any_names(session: Session) -> list[str]:
    return [
        *_container_names(session),
        *image_names(session),
        *network_names(session),
        *_volume_names(session),
    ]


def container_argument(*, many: bool = False, required: bool = True) -> Callable[[F], F]:
    """Declare CONTAINER, completed from those there are."""
    return _argument("container", _container_names, many=many, required=required)


def image_argument(*, many: bool = False, required: bool = True) -> Callable[[F], F]:
    """Declare IMAGE, completed from those there are."""
    return _argument("image", image_names, many=many, required=required)


def network_argument(*, many: bool = False, required: bool = True) -> Callable[[F], F]:
    """Declare NETWORK, completed from those there are."""
    return _argument("network", network_names, many=many, required=required)


def volume_argument(*, many: bool = False) -> Callable[[F], F]:
    """Declare VOLUME, completed from those there are."""
    return _argument("volume", _volume_names, many=many)


def object_argument() -> Callable[[F], F]:
    """Declare one or more names, of containers, images, networks or volumes."""
    return _argument("name", _any_names, many=True)


def _argument(
    name: str, names: Callable[[Session], list[str]], *, many: bool, required: bool = True
) -> Callable[[F], F]:
    shown = f"{name.upper()}..." if many else name.upper()
    return click.argument(
        f"{name}s" if many else name,
        metavar=shown if required else f"[{shown}]",
        nargs=-1 if many else 1,
        required=required,
        shell_complete=completed(names),
    )


def flag(*names: str, help: str) -> Callable[[F], F]:  # noqa: A002 - click's own word
    """Declare a flag that is there or not."""
    return click.option(*names, is_flag=True, help=help)


def variables(function: F) -> F:
    """Declare `--out` and `--err`."""
    function = click.option(
        "--err", "err_name", metavar="NAME", help="Fill this variable with standard error."
    )(function)
    return click.option(
        "--out", "out_name", metavar="NAME", help="Fill this variable with standard output."
    )(function)


class InputValue(click.types.StringParamType):
    """A value as it was given: click's own type would forget what was a variable's."""

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the value itself."""
        return value


def inputs(function: F) -> F:
    """Declare `--input`."""
    return click.option(
        "--input",
        "inputs",
        multiple=True,
        type=InputValue(),
        metavar="TEXT|@FILE",
        help="Type this line when the program asks for one, and the next one when it asks again;"
        " then its input ends. @FILE is a file as it is, {NAME} the lines of a variable, @@ an @."
        " Stands for -i.",
    )(function)


def formats(function: F) -> F:
    """Declare `--format`."""
    return click.option(
        "-f" if function.__name__ == "inspect" else "--format",
        *(("--format",) if function.__name__ == "inspect" else ()),
        "template",
        metavar="TEMPLATE",
        help="`json`, or text with {{.Field}} in it.",
    )(function)
