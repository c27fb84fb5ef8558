"""Whether a cell is complete, and what a word in it is: both are asked of the shell itself."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from ipycontainer.plain import uncoloured
from ipycontainer_kernel.shell import script

if TYPE_CHECKING:
    from ipycontainer_kernel.shell.shell import Shell

_WITHIN: Final = 3.0
_LONGEST: Final = 1 << 20
_MOST_TEXT: Final = 16 << 10
_WORD: Final = re.compile(r"""[^\s;|&()<>"'`=$\\{}]+""")
_NAME: Final = re.compile(r"[^\W\d]\w*")
# What dash, busybox ash and bash say of an end that came too soon.
_TOO_SOON: Final = re.compile(
    r"end of file unexpected|unexpected end of file|unterminated|unexpected EOF|EOF in backquote"
    r"|missing '[)}]+'",
    re.IGNORECASE,
)

# A subshell is no interactive shell, but its program is. No shell minds a here document without an
# end, but one that is open takes a line that would be an error anywhere else.
_CHECK: Final = r"""
c=@CODE@
printf '%s\n' "$c" | @SHELL@ -n 2>&1 | head -c 4000
printf '\0'
printf '%s\n)\n' "$c" | @SHELL@ -n 2>&1 | head -c 4000
"""
# Programs are asked for their help only where the image's distribution has put them.
_INSPECT: Final = r"""
w=@WORD@
c=$(command -v -- "$w") || exit 0
type "$w"
case $c in
  /bin/* | /usr/bin/* | /sbin/* | /usr/sbin/*) "$w" --help 2>&1;;
  "$w") if [ -n "@BASH@" ]; then help "$w"
    else busybox "$w" --help 2>&1 | grep -v 'applet not found'; fi;;
esac 2>/dev/null | head -c @MOST@
"""


def completeness(shell: Shell, code: str) -> dict[str, str]:
    """Return the content of an `is_complete_reply`."""
    if len(code) > _LONGEST or "\0" in code:
        return {"status": "unknown"}
    trailing = len(code) - len(code.rstrip("\\"))
    if trailing % 2:
        return {"status": "incomplete", "indent": ""}
    quoted = {"@CODE@": shlex.quote(code), "@SHELL@": "bash" if shell.kind == script.BASH else "sh"}
    said = shell.ask(_filled(_CHECK, quoted), _WITHIN).decode(errors="replace")
    if "\0" not in said:  # it took too long
        return {"status": "unknown"}
    errors, more = (_errors(part) for part in said.partition("\0")[::2])
    if not errors:
        return {"status": "complete"} if more else {"status": "incomplete", "indent": ""}
    if _TOO_SOON.search(errors):
        return {"status": "incomplete", "indent": _indent(code)}
    return {"status": "invalid"}


def _errors(said: str) -> str:
    return "\n".join(line for line in said.splitlines() if "here-document" not in line)


def _indent(code: str) -> str:
    last = code.rstrip().rpartition("\n")[2]
    own = last[: len(last) - len(last.lstrip())]
    return own + "  " if re.search(r"(?:\b(?:do|then|else)|\{|\))\s*$", last) else own


def inspected(shell: Shell, code: str, cursor: int) -> str:
    """Return what the shell and the program itself say of the word at the cursor; "" for nothing.

    A variable is shown with its value, a function with its body where the shell can tell it.
    """
    found = next((m for m in _WORD.finditer(code) if m.start() <= cursor <= m.end()), None)
    if found is None or len(found[0]) > 4096 or "\0" in found[0]:
        return ""
    word = found[0]
    if _NAME.fullmatch(word) and code[: found.start()].endswith(("$", "${")):
        value = shell.ask(f'[ -n "${{{word}+x}}" ] && printf %s "${word}"', _WITHIN)
        return _shown(f"{word}={shlex.quote(value.decode(errors='replace'))}")
    bash = "yes" if shell.kind == script.BASH else ""
    parts = {"@WORD@": shlex.quote(word), "@BASH@": bash, "@MOST@": str(_MOST_TEXT)}
    return _shown(shell.ask(_filled(_INSPECT, parts), _WITHIN).decode(errors="replace"))


def _filled(code: str, parts: dict[str, str]) -> str:
    """Put the parts in at once, so that one that looks like another's place is left alone."""
    return re.sub("|".join(parts), lambda found: parts[found[0]], code)


def _shown(text: str) -> str:
    text = uncoloured(text)[:_MOST_TEXT]
    return "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
