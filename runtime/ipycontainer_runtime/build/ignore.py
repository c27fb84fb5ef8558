"""`.dockerignore`, and the same patterns in --exclude: what of a context is left out.

Rules: https://docs.docker.com/build/concepts/context/#dockerignore-files. A pattern that matches a
folder matches all that is in it; the last pattern that matches decides; `!` lets in again. Corners
are those of moby's patternmatcher: `**` is any number of folders, `**name` any path that ends so.
"""

import posixpath
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from ipycontainer_runtime.build.globs import matcher
from ipycontainer_runtime.build.words import SPACE
from ipycontainer_runtime.errors import InvalidParameter

MAX_SIZE = 1 << 20
MAX_PATTERNS = 10_000
_Match = Callable[[str], bool]


def patterns(text: str) -> list[str]:
    """Return the patterns of a `.dockerignore`, without comments, relative to the context."""
    if len(text) > MAX_SIZE:
        raise InvalidParameter(f".dockerignore has more than {MAX_SIZE} characters")
    found = []
    for line in text.removeprefix("\ufeff").split("\n"):
        # Only a `#` in the first column makes a comment.
        bare = line.strip(SPACE)
        if not bare or line.startswith("#"):
            continue
        negated = bare.startswith("!")
        path = bare[1:].strip(SPACE) if negated else bare
        if path:
            path = _clean(path)
            path = path[1:] if len(path) > 1 and path.startswith("/") else path
        found.append(f"!{path}" if negated else path)
    return found


class Ignore:
    """Tells which paths of a context a `.dockerignore` leaves out.

    InvalidParameter names a pattern that is none.
    """

    def __init__(self, text: str) -> None:
        self._rules = [_rule(pattern) for pattern in patterns(text)]
        if len(self._rules) > MAX_PATTERNS:
            raise InvalidParameter(f".dockerignore has more than {MAX_PATTERNS} patterns")
        self.lets_in = any(negated for negated, _ in self._rules)
        """Whether any `!` is there: if not, nothing in a folder left out needs a look."""
        self._hits = lru_cache(maxsize=256)(self._uncached_hits)

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Ignore":
        """Return what leaves out what --exclude names."""
        return cls("\n".join(f"\\{one}" if one.startswith("#") else one for one in patterns))

    def excludes(self, path: str) -> bool:
        """Tell whether a path, relative to the context and without dots, is left out."""
        excluded = False
        for (negated, _), hit in zip(self._rules, self._all_hits(path), strict=True):
            if hit and negated == excluded:
                excluded = not negated
        return excluded

    def _all_hits(self, path: str) -> tuple[bool, ...]:
        """Return which rules match the path or a folder above it."""
        folder = posixpath.dirname(path)
        above = self._hits(folder) if folder else (False,) * len(self._rules)
        return tuple(hit or match(path) for hit, (_, match) in zip(above, self._rules, strict=True))

    def _uncached_hits(self, folder: str) -> tuple[bool, ...]:
        return self._all_hits(folder)


def ignore_file(dockerfile: str) -> tuple[str, str]:
    """Return the names to look for beside a Dockerfile, the first that is there counts."""
    return f"{dockerfile}.dockerignore", ".dockerignore"


def _rule(pattern: str) -> tuple[bool, _Match]:
    cleaned = _clean(pattern.strip(SPACE))
    negated = cleaned.startswith("!")
    if cleaned == "!":
        raise InvalidParameter('illegal exclusion pattern: "!": write !path')
    return negated, matcher(cleaned[negated:])


def _clean(path: str) -> str:
    """Return a path as Go cleans it: no double slashes, no dots, none at its end."""
    cleaned = posixpath.normpath(path)
    return re.sub("^//", "/", cleaned)
