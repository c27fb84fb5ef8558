"""`%container` lines in a shell kernel's cell: they act on the kernel's own container."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from ipycontainer.failures import Failure, Usage
from ipycontainer_kernel.acts import Acts, Keeping
from ipycontainer_kernel.checkpoints import restore

if TYPE_CHECKING:
    from ipycontainer_kernel.container import KernelContainer

_LINE: Final = re.compile(r"^%container\b(.*)$", re.MULTILINE)
USAGE: Final = """\
These cells run in a container; %container is about that one:

  %container info                          its image, limits, memory, and what changed
  %container checkpoint [NAME]             keep its files as they are now
  %container checkpoint --every-cell       ... after every cell that changes some; `off` ends it
  %container checkpoints                   what is kept
  %container restore NAME                  give the files back and start another shell
  %container commit NAME[:TAG]             make an image of it
"""


def parts(code: str, whole: Callable[[str], bool]) -> Iterator[tuple[str, str | None]]:
    """Yield a cell's pieces in their order: (code, None), or ("", the rest of such a line).

    `whole` tells whether code is: below what is not, such a line is of a here document or a string.
    """
    end = 0
    for line in _LINE.finditer(code):
        before = code[end : line.start()]
        if before.strip():
            if not whole(before.removesuffix("\n")):
                continue
            yield before, None
        yield "", line[1]
        end = line.end()
    if code[end:].strip():
        yield code[end:], None


class Own:
    """What such lines do; `renewed` is called when the container has been started again."""

    def __init__(self, container: KernelContainer, renewed: Callable[[], object]) -> None:
        self._container = container
        self._renewed = renewed
        self._keeping = Keeping()
        self._acts = Acts(container, self._keeping)

    def run(self, line: str) -> str:
        """Do what a line says, and return what is shown of it; raises `Failure`."""
        try:
            verb, *rest = shlex.split(line) or ["help"]
        except ValueError as error:
            raise Usage(f"%container{line}: {error}") from None
        if verb in ("help", "--help"):
            return USAGE
        if verb == "checkpoint" and rest[:1] == ["--every-cell"] and rest[1:] in ([], ["off"]):
            return self._text({"verb": "every-cell", "on": not rest[1:]})
        if verb == "restore" and len(rest) == 1:
            return self._restore(rest[0])
        if verb == "commit" and len(rest) == 1:
            return self._text({"verb": verb, "name": rest[0]})
        if verb == "checkpoint" and len(rest) < 2:
            return self._text({"verb": verb, "name": "".join(rest)})
        if verb in ("checkpoints", "info") and not rest:
            return self._text({"verb": verb})
        raise Usage(f"there is no %container{line} in a shell kernel: `%container` lists what is")

    def after_cell(self, number: int) -> str:
        """Keep what a cell has changed where that is wanted; return what is shown of it."""
        if not self._keeping.every_cell:
            return ""
        return self._text({"verb": "cell", "count": number})

    def _text(self, request: dict[str, object]) -> str:
        text = str(self._acts.do(request)["text"])
        return f"{text}\n" if text else ""

    def _restore(self, name: str) -> str:
        container = self._container
        self._acts.check(name)
        api = container.session.api
        try:
            container.renew(lambda: restore(api, container.id, name, start=False))
        except Failure:
            raise
        except Exception as error:
            raise container.session.explained(error) from error
        self._renewed()
        return f"the files are those of {name}, and the shell is another one\n"
