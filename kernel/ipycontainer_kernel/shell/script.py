"""What the kernel says to the shell: POSIX sh that dash, busybox ash and bash all take.

Two execs make a session. The *holder* keeps a shell (a child, so that its end can be told) whose
standard input and output are the kernel's own channel. The *stage* only exists: the commands of a
cell are given its three streams, which the shell opens by /proc anew for each cell. So nothing that
a cell prints is on the channel, its commands inherit no descriptor of ours, and 3 to 9 are free.

The shell is interactive, since only that survives what ends a cell: after SIGINT, a syntax error or
`${x?}` it goes back to reading its input, with all of its state. `exit` is made the same: it tells
its status and interrupts the shell. What else ends the shell (`set -e`) is told by a trap on EXIT,
with all that the shell can print of its state, and the next shell is given that.
"""

from __future__ import annotations

import shlex
from typing import Final, NamedTuple

PREFIX: Final = "__ipycontainer_"
"""How the names of ours begin; completion and state leave them out."""

KEEPER: Final = ("/bin/sh", "-c", "while read -r _; do :; done")
"""The container's first process: it ends with its standard input, and the container with it."""

BASH, ASH, SH = "bash", "ash", "sh"
_COMMANDS: Final = {
    BASH: ("bash", "--norc", "--noprofile", "--noediting", "-i"),
    # By its own name for what it reads: busybox takes the end of a child for that of its input,
    # and gives the programs that it has inside it what it has read ahead.
    ASH: ("sh", "-i", "/dev/stdin"),
    SH: ("sh", "-i"),
}

LOOK: Final = """\
bash -c : 2>/dev/null && echo bash && exit
case $(sh --help 2>&1 </dev/null) in *BusyBox*) echo ash;; *) echo sh;; esac
"""
"""Tells which of the three kinds of shell the image has, the richest first."""

# With a trap on INT its child has the signal as usual, while the holder itself goes on.
_HOLDER: Final = """\
trap : INT
printf '%s holder %s\\n' "$0" "$$"
while :; do
PS1='> ' PS2= ENV= "$@"
printf '%s dead %s\\n' "$0" "$?"
done
"""

# Waits for ever with nothing but a shell: the reader of this pipe is its only writer.
STAGE: Final = ("/bin/sh", "-c", "echo $$; (read -r _ </proc/self/fd/1) | :")

_COMMON: Final = """\
unset ENV PS1 PS2
PS1='> ' PS2=
__ipycontainer_holder=@HOLDER@
__ipycontainer_nonce=
__ipycontainer_inner() {
  { command read -r __ipycontainer_pid __ipycontainer_rest </proc/self/stat; } 2>/dev/null
  [ "$__ipycontainer_pid" != "$$" ]
}
__ipycontainer_tell() {
  command printf '%s %s %s\\n' "$__ipycontainer_nonce" "$1" "$2" \\
    >"/proc/$__ipycontainer_holder/fd/1"
}
__ipycontainer_exit() {
  __ipycontainer_last=$?
  \\unset -f command
  if __ipycontainer_inner; then command exit "${1-$__ipycontainer_last}"; fi
  __ipycontainer_tell end "$((${1-$__ipycontainer_last} & 255))"
  command trap - INT
  command kill -INT "$$"
}
display() {
  \\unset -f command
  for __ipycontainer_file do
    if [ -f "$__ipycontainer_file" ] && [ -r "$__ipycontainer_file" ]; then
      { __ipycontainer_tell show "$__ipycontainer_file"
        command cat <"$__ipycontainer_file" >"/proc/$__ipycontainer_holder/fd/1"
        __ipycontainer_tell shown ""
        command printf '%s\\n' "$__ipycontainer_mark" >"$__ipycontainer_out"
        command printf '%s\\n' "$__ipycontainer_mark" >"$__ipycontainer_err"; }
    else
      command printf 'display: %s: no such file, or it cannot be read\\n' "$__ipycontainer_file" >&2
      return 1
    fi
  done
}
"""
# A trap on EXIT of the cell's own takes the place of ours, and then the state is gone.
_DEAD: Final = """\
trap '__ipycontainer_dead=$? __ipycontainer_flags=$-; set +eufx
{ command printf "%s state %s %s\\n" \\
  "$__ipycontainer_nonce" "$__ipycontainer_dead" "$__ipycontainer_flags"
__ipycontainer_dump; command printf "%s stated -\\n" "$__ipycontainer_nonce"
} >"/proc/$__ipycontainer_holder/fd/1" 2>/dev/null' EXIT
"""
_POSIX: Final = """\
__ipycontainer_dump() {
  set; export -p; alias | while IFS= read -r __ipycontainer_line; do
    printf 'alias %s\\n' "${__ipycontainer_line#alias }"; done
  printf 'umask %s\\ncd -- "$PWD"\\n' "$(umask)"; readonly -p
}
alias exit=__ipycontainer_exit
"""
_BASH: Final = """\
__ipycontainer_dump() {
  declare -p; declare -f; alias -p; shopt -p; printf 'umask %s\\ncd -- %q\\n' "$(umask)" "$PWD"
  shopt -qo pipefail && echo 'set -o pipefail'
}
exit() { __ipycontainer_exit "$@"; }
set +o history +H
"""


class Streams(NamedTuple):
    """Where the commands of a cell have their standard streams: paths in the container."""

    stdin: str
    stdout: str
    stderr: str


def staged(pid: int, *, stdin: bool) -> Streams:
    """Return the streams of a stage whose process is `pid`; without `stdin` there is no input."""
    folder = f"/proc/{pid}/fd"
    return Streams(f"{folder}/0" if stdin else "/dev/null", f"{folder}/1", f"{folder}/2")


def holder(shell: str, token: str) -> list[str]:
    """Return the command of the holder of `shell`; what it tells begins with `token`."""
    return ["/bin/sh", "-c", _HOLDER, token, *_COMMANDS[shell]]


def prepared(shell: str, holder_pid: int, token: str) -> str:
    """Return what a new shell is told first; it answers with its process number."""
    own = _BASH if shell == BASH else _POSIX
    ready = f"printf '{token} shell %s\\n' \"$$\"\n"
    return _COMMON.replace("@HOLDER@", str(holder_pid)) + own + _DEAD + ready


_OWN: Final = "\\unset -f command;"
"""What makes `\\command` the shell's own; nothing is of use in a shell where `unset` is not."""
_OURS: Final = ": [ alias break cat compgen continue echo exit grep head help printf read set type"
"""The commands of what the kernel asks by itself."""


class Words(NamedTuple):
    """What nobody can guess, for one cell: `nonce` on the channel, `mark` in its streams."""

    nonce: str
    mark: str


def cell(code: str, words: Words, status: int, streams: Streams) -> str:
    """Return what runs `code` with `$?` as it was left, and then tells its status.

    Nothing is left to read while it runs: dash forgets what it has read ahead at an interrupt.
    """
    # `-e` ends the shell for a command that fails, unless it stands left of one of these.
    was = f"(\\command exit {status}) ||" if status else "\\command true &&"
    variable = f"{PREFIX}code"
    return (
        f"{PREFIX}nonce={words.nonce} {PREFIX}mark={words.mark}"
        f" {PREFIX}out={streams.stdout} {PREFIX}err={streams.stderr}\n"
        f"{variable}={shlex.quote(code)}\n"
        f'{was} \\command eval "${variable}"'
        f" <{streams.stdin} >{streams.stdout} 2>{streams.stderr}; " + end(words.nonce)
    )


def end(nonce: str) -> str:
    """Return what tells the status of the last command, and so that the cell is over.

    What a cell has made of `printf`, an alias or a function, is not what this means.
    """
    last = f"{PREFIX}last"
    return f"{last}=$?; {_OWN} \\command printf '%s end %s\\n' {nonce} \"${last}\"\n"


def asked(code: str, nonce: str) -> str:
    """Return what runs `code` in a fork of the shell and brings what it prints to the channel.

    So it sees variables, functions and the current folder, and changes nothing.
    """
    # `: -` is for `$_`, which would have the word of the mark.
    return (
        f"{_OWN} \\command true && ( set +eufx; trap - EXIT; \\command printf '{nonce} told\\n';"
        f" \\unset -f {_OURS}; \\command unalias {_OURS};"
        f" ( : -; \\command eval {shlex.quote(code)} ); \\command printf '{nonce} asked\\n'"
        f" ) </dev/null 2>/dev/null || :; true; {end(nonce)}"
    )


def marking(mark: str, streams: Streams) -> str:
    """Return what writes `mark` to both streams of a stage, after all that a cell has written."""
    paths = (streams.stdout, streams.stderr)
    tells = (f"\\command printf '%s\\n' {mark} >{path} || :\n" for path in paths)
    return f"{_OWN}\n" + "".join(tells)


def restored(state: str, flags: str) -> str:
    """Return what gives a new shell the state that another has told, and its options."""
    options = f"set -{flags}\n" if flags else ""
    return f"\\command eval {shlex.quote(state)} >/dev/null 2>&1 </dev/null || :\n{options}"
