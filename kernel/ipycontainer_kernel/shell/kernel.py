"""`ShellKernel`: Jupyter's messages become cells of a shell in a container."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipykernel.kernelbase import Kernel
from traitlets import Dict

from ipycontainer import __version__
from ipycontainer.asking import FrontEnd
from ipycontainer.failures import Failure, Interrupted, explain
from ipycontainer_kernel.history import History
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.shell.completion import complete
from ipycontainer_kernel.shell.control import Broken
from ipycontainer_kernel.shell.display import bundle
from ipycontainer_kernel.shell.endings import died, ended, failed
from ipycontainer_kernel.shell.held import held
from ipycontainer_kernel.shell.looking import completeness, inspected
from ipycontainer_kernel.shell.output import CellOutput
from ipycontainer_kernel.shell.own import Own, parts
from ipycontainer_kernel.shell.shell import Shell
from ipycontainer_kernel.shell.turn import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipycontainer_kernel.container import KernelContainer

_ENDS_WITHIN: Final = 2.0  # Jupyter kills a kernel after five


class ShellKernel(Kernel):
    """A kernel whose cells run in one shell; its container goes when this process does."""

    implementation = "ipycontainer-shell"
    implementation_version = __version__
    language_info = {  # noqa: RUF012 - a trait of ipykernel's, which reads it from the class
        "name": "bash",
        "mimetype": "text/x-sh",
        "file_extension": ".sh",
        "codemirror_mode": "shell",
        "pygments_lexer": "bash",
    }
    settings = Dict(help="What the kernel was asked to be, as its kernelspec says it").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call] # ipykernel's is untyped
        self._settings = Settings.from_json(self.settings)
        self.banner = f"A shell in a container of {self._settings.image}"
        self._history = History()
        self._container: KernelContainer | None = None
        self._shell: Shell | None = None
        self._own: Own | None = None
        self._failure: Failure | None = None
        self._noted = False
        self._notebook = Path.cwd()
        # While Jupyter connects. Whoever needs the shell waits for it.
        self._starting = threading.Thread(target=self._start, name="start", daemon=True)
        self._starting.start()

    @property
    def kernel_info(self) -> dict[str, Any]:
        """What ipykernel tells, without what one shell cannot: subshells and a debugger."""
        return {**super().kernel_info, "supported_features": []}

    def _start(self) -> None:
        try:
            self._container = held(self._settings, self._notebook)
            self._own = Own(self._container, self._again)
            self._renew()
        except Exception as error:
            self._failure = self._told(error)  # the first cell tells it

    def _again(self) -> None:
        """Have another shell, since the container has been started again."""
        if self._shell is not None:
            self._shell.close()
        self._renew()

    def _renew(self) -> None:
        """Have another shell in the container."""
        assert self._container is not None
        shell = Shell(self._container.session, self._container.id)
        shell.start()
        self._shell = shell

    def _ready(self) -> Shell:
        """Return the shell once it is there; raises `Failure` when there will be none."""
        self._starting.join()
        if self._failure is not None:
            raise self._failure
        assert self._shell is not None
        return self._shell

    def do_execute(  # type: ignore[override] # ipykernel takes both, and awaits what can be
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        **_more: Any,
    ) -> dict[str, Any]:
        """Run a cell; the reply has its status as `exit_code`."""
        if not code.strip():
            return self._reply()
        if store_history and not silent:
            self._history.add(self.execution_count, code)
        self._allow_stdin = allow_stdin
        failure = self._failed(lambda: self._pieces(code, silent=silent))
        if self._failure is None and not silent:
            kept = self._failed(self._keep)
            failure = failure or kept
        return self._reply() if failure is None else self._error(failure, silent=silent)

    def _pieces(self, code: str, *, silent: bool) -> None:
        """Run what a cell has for the shell, and do what its `%container` lines say."""
        say = self._silenced if silent else self._say
        for piece, line in parts(code, self._whole):
            if line is None:
                self._run(piece, silent=silent)
            else:
                self._ready()
                assert self._own is not None
                say("stdout", self._own.run(line))

    def _keep(self) -> None:
        """Keep what the cell has changed, also one that failed, where that is wanted."""
        if self._own is not None:
            self._say("stdout", self._own.after_cell(self.execution_count))

    def _whole(self, code: str) -> bool:
        """Tell whether a line below `code` is one of its own, and not of a string, say."""
        return completeness(self._ready(), code)["status"] != "incomplete"

    def _failed(self, do: Callable[[], object]) -> Failure | None:
        """Do something, and return its failure: what is raised here leaves a request unanswered."""
        try:
            do()
        except Broken as broken:
            return self._lost(broken)
        except (Exception, KeyboardInterrupt) as error:
            return self._told(error)
        return None

    def _told(self, error: BaseException) -> Failure:
        """Return any error in a person's words."""
        if isinstance(error, KeyboardInterrupt):
            return Interrupted("interrupted before it was done")
        failure = explain(error, "ipycontainer")
        if failure is None:
            self.log.error("a defect of the shell kernel", exc_info=error)
            failure = Failure(f"a defect of this kernel; Jupyter's log has more: {error!r}")
        return failure

    def _run(self, code: str, *, silent: bool) -> None:
        """Run code in the shell; raises `Failure` when its status is not 0."""
        shell = self._ready()
        assert self._container is not None
        output = CellOutput(self._silenced if silent else self._say)
        if not shell.tells and not self._noted:
            self._noted = True
            output.note(
                f"the engine at {shell.session.address} cannot see when a program waits for input,"
                " so input of cells ends at once: give it with `<FILE`, `<<END` or a pipe"
            )
        person = FrontEnd(self) if self._allow_stdin else None
        began = time.monotonic()
        display = self._undisplayed if silent else self._display
        try:
            outcome = shell.run(Cell(code, output, person, display))
        finally:
            output.finish()
        if output.refused is not None:
            raise output.refused
        seconds = time.monotonic() - began
        if outcome.died:
            raise died(outcome, seconds)
        if outcome.status or outcome.interrupts:
            raise failed(shell, outcome, seconds)

    def _lost(self, broken: Broken) -> Failure:
        """Have another shell where the container is still there; return what to tell."""
        assert self._container is not None
        assert self._shell is not None
        self._shell.close()
        gone = ended(self._container)
        if gone is None:
            try:
                self._renew()
            except Exception as error:
                gone = ended(self._container) or self._told(error)
        if gone is not None:
            self._failure = gone
            return gone
        return Failure(
            f"{broken}: its variables, functions and folder are gone, the container's files are"
            " kept; the next cell has another shell"
        )

    def _publish(self, kind: str, content: dict[str, Any]) -> None:
        self.send_response(self.iopub_socket, kind, content)  # type: ignore[no-untyped-call] # ipykernel's is untyped

    def _say(self, stream: str, text: str) -> None:
        if text:
            self._publish("stream", {"name": stream, "text": text})

    def _silenced(self, stream: str, text: str) -> None:
        """Show nothing: the front end has asked for that."""

    def _undisplayed(self, path: str, data: bytes, cut: bool) -> None:
        """Show no file either."""

    def _display(self, path: str, data: bytes, cut: bool) -> None:
        try:
            shown = bundle(path, data, cut=cut)
        except Failure as failure:
            self._say("stderr", f"{failure}\n")
            return
        self._publish("display_data", {"data": shown, "metadata": {}})

    def _reply(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "execution_count": self.execution_count,
            "payload": [],
            "user_expressions": {},
        }

    def _error(self, failure: Failure, *, silent: bool) -> dict[str, Any]:
        error = {
            "ename": type(failure).__name__,
            "evalue": str(failure),
            "traceback": [f"{type(failure).__name__}: {failure}"],
        }
        if not silent:
            self._publish("error", error)
        return {
            "status": "error",
            "execution_count": self.execution_count,
            "exit_code": failure.exit_code,
            **error,
        }

    def do_complete(  # type: ignore[override] # as do_execute
        self, code: str, cursor_pos: int | None
    ) -> dict[str, Any]:
        """Complete commands, functions, variables and files, as the container has them."""
        cursor = len(code) if cursor_pos is None else cursor_pos
        reply = {"status": "ok", "matches": [], "cursor_start": cursor, "cursor_end": cursor}
        with suppress(Failure, Broken):
            found = complete(self._ready(), code, cursor)
            kinds = [
                {"text": text, "type": kind, "start": found.start, "end": found.end}
                for text, kind in zip(found.matches, found.kinds, strict=True)
            ]
            reply |= {"matches": found.matches, "cursor_start": found.start}
            return {**reply, "metadata": {"_jupyter_types_experimental": kinds}}
        return {**reply, "metadata": {}}

    def do_inspect(  # type: ignore[override] # as do_execute
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> dict[str, Any]:
        """Tell what a command, a function or a variable is."""
        text = ""
        with suppress(Failure, Broken):
            text = inspected(self._ready(), code, cursor_pos)
        data = {"text/plain": text} if text else {}
        return {"status": "ok", "found": bool(text), "data": data, "metadata": {}}

    def do_is_complete(self, code: str) -> dict[str, str]:  # type: ignore[override] # as do_execute
        """Tell whether the shell would take this as it is."""
        with suppress(Failure, Broken):
            return completeness(self._ready(), code)
        return {"status": "unknown"}

    def do_history(  # type: ignore[override] # as do_execute
        self, *asked: Any, **more: Any
    ) -> dict[str, Any]:
        """Return cells that were run since the kernel's start."""
        return self._history.reply(*asked, **more)

    def do_shutdown(  # type: ignore[override] # as do_execute
        self, restart: bool
    ) -> dict[str, Any]:
        """Remove the container: a kernel that is started again has a new one."""
        # One whose image is still being pulled, say, goes with this process.
        self._starting.join(_ENDS_WITHIN)
        if self._shell is not None:
            self._shell.close()
        if self._container is not None:
            with suppress(Failure):  # it has gone, or goes with this process
                self._container.remove()
        return {"status": "ok", "restart": restart}
