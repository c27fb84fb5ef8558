"""Completion in the shell itself: commands, functions, variables, and files of the container."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from ipycontainer_kernel.shell import script

if TYPE_CHECKING:
    from ipycontainer_kernel.shell.shell import Shell

_WITHIN: Final = 3.0
_MOST: Final = 500
_LONGEST: Final = 4096
_WORD: Final = re.compile(r"""(?:\\.|[^\s;|&()<>"'`=\\])*\Z""")
_VARIABLE: Final = re.compile(r"\$\{?(\w*)\Z")
_NAME: Final = re.compile(r"[^\W\d]\w*\Z")
# What a command stands after: the beginning, an operator, or a word of the language.
_COMMAND: Final = re.compile(
    r"(?:^|[;|&(`{!\n]|\$\(|\b(?:then|do|else|elif|if|while|until|sudo|exec|command|time))\s*\Z"
)
_SPECIAL: Final = re.compile(r"""([\s;|&()<>"'`$\\*?\[\]!{}#~])""")
_KEYWORDS: Final = """
alias bg break case cd command continue display do done echo elif else esac eval exec exit export
false fg fi for getopts hash help if in jobs kill local printf pwd read readonly return set shift
source test then times trap true type ulimit umask unalias unset until wait while
"""

_FILES: Final = r"""
n=0
for f in @PREFIX@*; do
  { [ -e "$f" ] || [ -L "$f" ]; } || continue
  if [ -d "$f" ]; then printf 'd%s\0' "$f"; else printf 'f%s\0' "$f"; fi
  n=$((n + 1)); [ "$n" -lt @MOST@ ] || break
done
"""
_COMMANDS: Final = r"""
n=0
IFS=:
for d in $PATH; do
  for f in "$d"/@PREFIX@*; do
    [ -f "$f" ] && [ -x "$f" ] || continue
    printf 'c%s\0' "${f##*/}"
    n=$((n + 1)); [ "$n" -lt @MOST@ ] || break 2
  done
done
"""
_BASH_NAMES: Final = r"""
compgen -A function -- @PREFIX@ | while IFS= read -r f; do printf 'F%s\0' "$f"; done
compgen -A alias -- @PREFIX@ | while IFS= read -r f; do printf 'a%s\0' "$f"; done
"""
_ASH_NAMES: Final = r"""
alias | while IFS= read -r f; do f=${f#alias }; printf 'a%s\0' "${f%%=*}"; done
"""
_KINDS: Final = {
    "f": "file",
    "d": "folder",
    "c": "command",
    "F": "function",
    "a": "alias",
    "v": "variable",
    "k": "keyword",
}


class Completion(NamedTuple):
    """What could stand at the cursor: the matches, their kinds, and what they replace."""

    matches: list[str]
    kinds: list[str]
    start: int
    end: int


def complete(shell: Shell, code: str, cursor: int) -> Completion:
    """Return what could stand at the cursor."""
    before = code[:cursor]
    if variable := _VARIABLE.search(before):
        found = [("v", name) for name in _variables(shell, variable[1])]
        return _made(found, variable[1], variable.start(1), cursor)
    typed = _WORD.search(before)
    word = typed[0] if typed is not None else ""
    start = cursor - len(word)
    plain = re.sub(r"\\(.)", r"\1", word)
    if len(plain) > _LONGEST or "\0" in plain:
        return Completion([], [], start, cursor)
    found = []
    if _COMMAND.search(code[:start]) and "/" not in plain:
        found = _commands(shell, plain) if plain else []
    if not found:
        found = _asked(shell, _FILES, _globbed(plain))
    return _made(found, plain, start, cursor)


def _globbed(plain: str) -> str:
    """Return the beginning of a name as the shell takes it literally, but for a leading `~`."""
    home, slash, rest = plain.partition("/")
    if slash and re.fullmatch(r"~\w*", home):
        return f"{home}/{shlex.quote(rest)}"
    return shlex.quote(plain)


def _made(found: list[tuple[str, str]], typed: str, start: int, end: int) -> Completion:
    kinds: dict[str, str] = {}
    for kind, text in found:
        if typed.startswith("~") and "/" in typed:
            # The shell has put the home folder there; what was typed is to stay.
            text = typed.rpartition("/")[0] + "/" + text.rstrip("/").rpartition("/")[2]
        shown = text if kind == "v" else _quoted(text)
        kinds.setdefault(shown + ("/" if kind == "d" else ""), _KINDS[kind])
    matches = sorted(kinds)[:_MOST]
    return Completion(matches, [kinds[match] for match in matches], start, end)


def _quoted(text: str) -> str:
    home = re.match(r"~\w*/", text)
    kept = home[0] if home else ""
    return kept + _SPECIAL.sub(r"\\\1", text[len(kept) :])


def _variables(shell: Shell, prefix: str) -> list[str]:
    said = shell.ask("set", _WITHIN).decode(errors="replace")
    names = {line.partition("=")[0] for line in said.splitlines() if "=" in line}
    own = (name for name in names if _NAME.match(name) and not name.startswith(script.PREFIX))
    return [name for name in own if name.startswith(prefix)]


def _commands(shell: Shell, prefix: str) -> list[tuple[str, str]]:
    names = _BASH_NAMES if shell.kind == script.BASH else _ASH_NAMES
    found = _asked(shell, names + _COMMANDS, shlex.quote(prefix))
    # dash and busybox ash cannot list their functions.
    found += [("F", name) for name in shell.functions]
    found += [("k", name) for name in _KEYWORDS.split()]
    own = script.PREFIX
    return [(kind, name) for kind, name in found if name.startswith(prefix) and own not in name]


def _asked(shell: Shell, code: str, prefix: str) -> list[tuple[str, str]]:
    said = shell.ask(code.replace("@PREFIX@", prefix).replace("@MOST@", str(_MOST)), _WITHIN)
    words = said.decode(errors="replace").split("\0")[:-1]
    return [(word[0], word[1:]) for word in words if word[:1] in _KINDS and word[1:]]
