"""`Shell`: one long-lived shell in a container, from its start to the end of the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ipycontainer.attached import start_exec
from ipycontainer.failures import Failure
from ipycontainer.listening import EXTENSION
from ipycontainer_kernel.shell import script
from ipycontainer_kernel.shell.brief import briefly
from ipycontainer_kernel.shell.control import Broken, Control, Late, word
from ipycontainer_kernel.shell.functions import definitions, merged
from ipycontainer_kernel.shell.stage import Stage
from ipycontainer_kernel.shell.turn import Cell, Outcome, Turn

if TYPE_CHECKING:
    from ipycontainer.session import Session

_STARTS_WITHIN: Final = 60.0
_RENEWED_WITHIN: Final = 10.0
_SETTLES: Final = 50
_DIGITS: Final = 20
# A shell that a cell has stopped takes notice of nothing until it is continued.
_THE_GROUP: Final = 'kill -INT "-$1"; kill -CONT "$2"'
# The children of the shell: what it runs, also in the background. Says whether there is any.
_CHILDREN: Final = """\
k=
for s in /proc/[0-9]*/status; do
  while read -r key value _; do
    case $key in PPid:)
      [ "$value" = "$2" ] && { s=${s%/status}; kill -9 "${s#/proc/}"; k=1; }
      break;;
    esac
  done <"$s"
done 2>/dev/null
[ "$k" ] && echo some"""
_THE_SHELL: Final = 'kill -9 "$2"'
# As cgroup v2 tells it, and v1.
_OOM_KILLS: Final = """\
while read -r key value; do [ "$key" = oom_kill ] && echo "$value"; done \\
</sys/fs/cgroup/memory.events || while read -r key value; do
[ "$key" = oom_kill ] && echo "$value"; done </sys/fs/cgroup/memory/memory.oom_control"""
# What a shell sets by itself, or refuses to have set.
_ITS_OWN: Final = re.compile(
    r"(?:declare \S+ |export |readonly )?"
    r"(?:__ipycontainer_\w*|BASH\w*|EUID|UID|PPID|PS1|PS2|PS4|ENV|_|LINENO|OPTIND|SHELLOPTS|GROUPS"
    r"|FUNCNAME|DIRSTACK|RANDOM|SRANDOM|SECONDS|EPOCH\w+|HISTCMD|SHLVL|PIPESTATUS|COMP_WORDBREAKS"
    r"|IPYCONTAINER_\w+)(?:=.*)?|alias (?:-- )?exit=.*"
)
_FLAGS: Final = "aefuxC"


class Shell:
    """A shell in `container`: `start` it, `run` cells, `ask` it between them, `close` it."""

    def __init__(self, session: Session, container: str, kind: str = "") -> None:
        self.session = session
        self.container = container
        self.kind = kind
        """script.BASH, ASH or SH; what the image has where it is not given."""
        self.tells = EXTENSION in session.extensions()
        """Whether the engine sees who waits for input."""
        self.status = 0
        """What `$?` is for the next cell."""
        self.functions: dict[str, str] = {}
        """Definitions of the functions that cells made, where the shell cannot tell them."""
        self._token = word()
        self._holder = self._pid = 0
        self._oom_kills = 0
        self._interrupted = False

    @property
    def streams(self) -> script.Streams:
        """Where the next cell has its streams."""
        return script.staged(self.stage.pid, stdin=self.tells)

    def start(self) -> None:
        """Start it; raises `Failure` where the container has no shell that can be used."""
        try:
            self.kind = self.kind or self._look()
            self._hold()
            self.stage = Stage(self.session, self.container)
        except Broken as broken:
            raise Failure(f"the shell did not start: {broken}") from None

    def _look(self) -> str:
        command = ["/bin/sh", "-c", script.LOOK]
        said = briefly(self.session, self.container, command, _STARTS_WITHIN)
        kind = said.decode(errors="replace").strip()
        if kind not in (script.BASH, script.ASH, script.SH):
            raise Failure("the image has no /bin/sh that runs: a shell kernel needs one")
        return kind

    def _hold(self) -> None:
        command = script.holder(self.kind, self._token)
        made = self.session.api.exec_create(self.container, command, stdin=True)["Id"]
        self.control = Control(start_exec(self.session, made, tty=False))
        self.control.token = self._token
        self.control.expect("")
        for mark in self.control.wait(_STARTS_WITHIN):
            if mark.kind == "holder" and mark.number is not None:
                self._holder = mark.number
                break
        self._prepare()

    def _prepare(self) -> None:
        """Tell a new shell what it needs, and learn its number."""
        self.control.send(script.prepared(self.kind, self._holder, self._token))
        for mark in self.control.wait(_STARTS_WITHIN):
            if mark.kind == "dead":
                raise Broken(f"it ends at once, with status {mark.value}")
            if mark.kind == "shell" and mark.number is not None:
                self._pid = mark.number
                return

    def run(self, cell: Cell) -> Outcome:
        """Run a cell; raises Broken when the container has gone."""
        self._settle()
        if self.stage.ended:
            self.stage.close()
            self.stage = Stage(self.session, self.container)
        new = {} if self.kind == script.BASH else definitions(cell.code)
        known, self.functions = self.functions, merged(self.functions, new)
        outcome = Turn(self, cell).take()
        self.status = outcome.status
        if new and not outcome.died:
            self.functions = merged(known, self._made(new))
        return outcome

    def _made(self, functions: dict[str, str]) -> dict[str, str]:
        """Return those that are functions: text that looks like one may have been in quotes."""
        names = " ".join(functions)
        told = f'for f in {names}; do case $(type "$f") in *function*) echo "$f";; esac; done'
        said = self.ask(told, _RENEWED_WITHIN).decode(errors="replace").split()
        return {name: functions[name] for name in said if name in functions}

    def ask(self, code: str, seconds: float) -> bytes:
        """Return what `code` prints in a fork of the shell; nothing when that takes longer.

        It sees variables, functions and the current folder, and changes none. Raises Broken when
        the container has gone.
        """
        self._settle()
        nonce = word()
        self.control.expect(nonce)
        self.control.send(script.asked(code, nonce))
        said = b""
        try:
            for mark in self.control.wait(seconds):
                if mark.kind == "asked":
                    said = mark.body
                elif mark.kind == "end":
                    return said
                elif mark.kind == "dead":
                    self.renew(None)
                    return b""
        except Late:
            self._stop_asking()
        return b""

    def _settle(self) -> None:
        """Let an interrupt that came too late for its cell take nothing of the next.

        A shell that reads may take note of it only with the next line, and forget that.
        """
        if not self._interrupted:
            return
        self._interrupted = False
        nonce = word()
        self.control.expect(nonce)
        for _ in range(_SETTLES):
            self.control.send(script.end(nonce))
            try:
                for mark in self.control.wait(_RENEWED_WITHIN / _SETTLES):
                    if mark.kind == "end":
                        return
            except Late:
                continue
        raise Broken("the shell does not answer")

    def was_out_of_memory(self) -> bool:
        """Tell whether the kernel has killed something for its memory since this was asked."""
        said = self.ask(_OOM_KILLS, _RENEWED_WITHIN).split()
        count = sum(int(number) for number in said if number.isdigit() and len(number) < _DIGITS)
        known, self._oom_kills = self._oom_kills, count
        return count > known

    def _stop_asking(self) -> None:
        self.signal(2)
        for mark in self.control.wait(_RENEWED_WITHIN):
            if mark.kind in ("end", "dead"):
                if mark.kind == "dead":
                    self.renew(None)
                return

    def signal(self, times: int) -> bool:
        """Interrupt what runs; the second time kill it, the third kill the shell itself.

        Return whether the second found anything. The Engine API can signal no exec, so another
        exec does it.
        """
        from docker.errors import APIError

        self._interrupted = True
        what = {1: _THE_GROUP, 2: _CHILDREN}.get(times, _THE_SHELL)
        command = ["/bin/sh", "-c", what, "sh", str(self._holder), str(self._pid)]
        try:
            return bool(briefly(self.session, self.container, command, _RENEWED_WITHIN))
        except APIError as error:
            raise Broken("the container has ended") from error

    def renew(self, state: tuple[str, bytes] | None) -> None:
        """Make the shell that came after one that has ended what that was, if it has told it."""
        self._prepare()
        if state is None:
            self.functions = {}
            return
        for definition in self.functions.values():
            self.control.send(script.restored(definition, ""))
        (_, _, flags), text = state[0].partition(" "), state[1].decode(errors="surrogateescape")
        kept = "".join(
            line for line in text.splitlines(keepends=True) if not _ITS_OWN.fullmatch(line.rstrip())
        )
        options = "".join(flag for flag in flags if flag in _FLAGS)
        self.control.send(script.restored(kept, options))

    def close(self) -> None:
        """Let go of its streams; the container's end ends the shell."""
        for part in ("control", "stage"):
            if hasattr(self, part):
                getattr(self, part).close()
