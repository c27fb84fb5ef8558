"""Docker's other names for the same verbs: `container ls`, `image rm`, `ls`."""

from __future__ import annotations

import copy

import click

from .pruning import builder_prune, container_prune, image_prune

_CONTAINER = [
    "attach",
    "commit",
    "cp",
    "create",
    "diff",
    "exec",
    "export",
    "inspect",
    "kill",
    "logs",
    "pause",
    "port",
    "rename",
    "restart",
    "rm",
    "run",
    "start",
    "stats",
    "stop",
    "top",
    "unpause",
    "update",
    "wait",
]
_IMAGE = ["history", "import", "inspect", "load", "pull", "push", "save", "tag"]


def add_aliases(main: click.Group) -> None:
    """Add the hidden names to the root."""
    main.add_command(_hidden(main.commands["ps"]), "ls")
    container = click.Group("container", hidden=True, no_args_is_help=False)
    for verb in _CONTAINER:
        container.add_command(main.commands[verb])
    for name in ("ls", "ps", "list"):
        container.add_command(main.commands["ps"], name)
    image = click.Group("image", hidden=True, no_args_is_help=False)
    for verb in _IMAGE:
        image.add_command(main.commands[verb])
    for name, verb in (("ls", "images"), ("list", "images"), ("rm", "rmi")):
        image.add_command(main.commands[verb], name)
    builder = click.Group("builder", hidden=True, no_args_is_help=False)
    builder.add_command(main.commands["build"])
    builder.add_command(builder_prune)
    main.add_command(builder)
    container.add_command(container_prune)
    image.add_command(image_prune)
    for name in ("network", "volume"):
        group = main.commands[name]
        assert isinstance(group, click.Group)
        for verb, long in (("ls", "list"), ("rm", "remove")):
            group.add_command(_hidden(group.commands[verb]), long)
    main.add_command(container)
    main.add_command(image)
    system = main.commands["system"]
    assert isinstance(system, click.Group)
    for verb in ("events", "info"):
        system.add_command(main.commands[verb])


def _hidden(command: click.Command) -> click.Command:
    found = copy.copy(command)
    found.hidden = True
    return found
