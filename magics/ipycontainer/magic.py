"""`%container` and `%%container`: what `%load_ext ipycontainer` registers.

Kept light: nothing here imports click or docker before a verb runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

if TYPE_CHECKING:
    from docker import DockerClient
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Configurable

    from .sandbox.workspace import Workspace
    from .traits import IPyContainer

_NAME = "container"
_REACH = "get_ipython().magics_manager.registry['ContainerMagics'].show"
_MATCHER = "ipycontainer.complete"


@magics_class
class ContainerMagics(Magics):
    """The magic, with the client that its verbs share."""

    def __init__(self, shell: InteractiveShell, preferences: IPyContainer) -> None:
        super().__init__(shell)
        self.preferences = preferences
        self._clients: dict[str | None, DockerClient] = {}
        self._told: set[str] = set()
        self._workspace: Workspace | None = None

    @no_var_expand
    @line_cell_magic
    def container(self, line: str, cell: str | None = None) -> object:
        """Docker-style containers in the notebook.

        %container                       the containers, live, with buttons
        %container VERB [FLAGS] ...      e.g.  %container run --rm busybox echo hello
        %%container run -i IMAGE sh      the cell's body is the standard input
        %container run -i IMAGE sh       what waits for input makes the cell ask; ^D ends it
        %container run -it IMAGE sh      a terminal in the cell, which lives on when that has ended
        %%container build -t NAME        the cell's body is a Dockerfile
        %%container python IMAGE         the cell's body is Python, run in a warm sandbox

        Verbs: attach, build, capture, checkpoint (create, ls, show, rm), commit, cp, create, debug,
        diff, doctor, engine, events, exec, explain, export, history, images, import, info, inspect,
        kernel (install, list, update, remove), kill, layers, load, lock, login, logout, logs, ls,
        network (create, ls, show, connect and more), pause, port, ps, pull, push, python, rename,
        restart, restore, rm, rmi, run, save, search, start, stats, stop, system (df, prune), tag,
        top, unpause, update, verify, version, volume (create, ls and more), wait.
        `%container VERB --help` tells the flags, which are Docker's.

        Output comes into the cell as it is made; `--out NAME` and `--err NAME` fill variables
        instead, with text, or with bytes when they are no UTF-8. A command that fails fails the
        cell. Interrupting the cell stops the container that it runs.

        A whole word {name} is the notebook's variable, as exactly one argument; {*names} is each
        item of a list. Quote it to pass it as it is. Nothing goes through a shell: `$`, `*`, `|`
        and {{.ID}} reach the container untouched.

        `%config IPyContainer` shows and sets preferences: a default image, limits, profiles of
        flags for `--profile`, text instead of tables and bars, how many lines of output are
        shown (`_output` has all of it then).
        """
        from .cell import Cell
        from .failures import Interrupted
        from .session import Session
        from .verbs import invoke
        from .words import split

        assert self.shell is not None  # IPython makes magics with their shell
        names = self.shell.user_ns
        preferences = self.preferences.current()
        rich = preferences.display == "rich"
        kernel = getattr(self.shell, "kernel", None)
        if rich and kernel is not None and cell is None and not line.strip():
            from .widgets import Containers

            return Containers()
        surface = Cell(
            cell,
            live=kernel is not None and rich,
            rich=rich,
            kernel=kernel,
            lines=preferences.output_lines,
        )
        session = Session(surface, self.client, self._told, lambda: preferences, self.workspace)
        try:
            return invoke(session, split(line, names))
        except KeyboardInterrupt:
            raise Interrupted("interrupted before it was done") from None
        finally:
            names.update(surface.variables())
            surface.finish()

    def client(self) -> DockerClient:
        """Return the client of the engine that DOCKER_HOST means now."""
        import os

        from . import connect

        host = os.environ.get("DOCKER_HOST")
        if host not in self._clients:
            self._clients[host] = connect()
        return self._clients[host]

    def workspace(self) -> Workspace:
        """Return the notebook's variables, and the sandboxes that its cells share."""
        from .sandbox.workspace import Workspace

        shell = self.shell
        assert shell is not None  # IPython makes magics with their shell
        if self._workspace is None:
            self._workspace = Workspace(shell.user_ns, lambda: f"Cell In[{shell.execution_count}]")
        return self._workspace

    @staticmethod
    def show(value: object) -> None:
        """Display a listing whose value the cell would drop; called by what `dropped` weaves in."""
        from .dropped import display_listing

        display_listing(value)

    def close(self) -> None:
        """Let the connections and the sandboxes go."""
        if self._workspace is not None:
            self._workspace.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def load(shell: InteractiveShell) -> None:
    """Register the magic and its completion, and have its listings shown wherever they stand."""
    from .complete import matcher
    from .dropped import ShowDropped
    from .preferences import stored_config
    from .traits import IPyContainer

    unload(shell)
    config = stored_config()
    config.merge(shell.config)
    preferences = IPyContainer.made(config)
    magics = ContainerMagics(shell, preferences)
    shell.register_magics(magics)
    _configurables(shell).append(preferences)
    shell.ast_transformers.append(ShowDropped(shell, _REACH))
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(
            matcher(magics.client, shell.user_ns, preferences.current)
        )


def _configurables(shell: InteractiveShell) -> list[Configurable]:
    """Return what `%config` shows and sets; IPython's own types say too little of the list."""
    return cast("list[Configurable]", shell.configurables)


def unload(shell: InteractiveShell) -> None:
    """Take back what `load` registered."""
    magics = shell.magics_manager.registry.pop(ContainerMagics.__name__, None)
    if isinstance(magics, ContainerMagics):
        magics.close()
        _configurables(shell).remove(magics.preferences)
    shell.ast_transformers[:] = [
        t for t in shell.ast_transformers if type(t).__name__ != "ShowDropped"
    ]
    if shell.Completer is not None:
        shell.Completer.custom_matchers[:] = [
            m for m in shell.Completer.custom_matchers if getattr(m, "__module__", "") != _MATCHER
        ]
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(_NAME, None)
