"""What an image of an environment consists of: its layers, lowest first, and its lock."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ipycontainer_runtime.capture import code as codes
from ipycontainer_runtime.capture import grouping, interpreter, libraries, lock, sites, system
from ipycontainer_runtime.capture.code import Code, Ignored
from ipycontainer_runtime.capture.distributions import (
    CONDA,
    Distribution,
    installed,
    normalized,
    with_conda,
)
from ipycontainer_runtime.capture.grouping import Group
from ipycontainer_runtime.capture.interpreter import Interpreter
from ipycontainer_runtime.capture.libraries import Libraries
from ipycontainer_runtime.capture.tree import Tree
from ipycontainer_runtime.errors import InvalidParameter

SYSTEM, PYTHON, VENV, OTHER, LOCK, CODE = (
    *("system", "interpreter", "environment"),
    *("other", "lock", "code"),
)
RESERVED = frozenset((SYSTEM, PYTHON, VENV, OTHER, LOCK, CODE))
"""Layers that hold no distributions."""
FORMAT = "1"
"""Part of every fingerprint: another is needed when layers are written in another way."""


@dataclass(frozen=True)
class Request:
    """What to capture."""

    python: str
    """The path of the interpreter."""
    code: tuple[Code, ...] = ()
    include: tuple[str, ...] = ()
    """Take these distributions and what they need, and no other; none means all."""
    exclude: tuple[str, ...] = ()
    user: bool = False
    """Take the user's own site-packages too."""


@dataclass
class Part:
    """One layer: a name that stays from capture to capture, words for people, and its paths."""

    name: str
    title: str
    tree: Tree
    members: tuple[str, ...] = ()
    fingerprint: str = ""
    carries: str = ""
    """A digest of the lock, where its files were put into this layer."""

    @property
    def is_code(self) -> bool:
        """Say whether it is a person's own code, which lies above all that is installed."""
        return self.name == CODE


@dataclass
class Plan:
    """What to write, and what to say of it."""

    python: Interpreter
    parts: list[Part]
    distributions: list[Distribution]
    pylock: str
    requirements: str
    left: list[str] = field(default_factory=list)
    libraries: dict[str, list[str]] = field(default_factory=dict)
    """Those that each tree needs, by its own fingerprint: found once, they need not be again."""
    paths: tuple[str, ...] = ()
    """The folders with programs, for PATH."""

    def lock_files(self) -> Tree:
        """Return the files that a layer carries which was written along with this lock."""
        tree = Tree()
        tree.make_file(lock.PYLOCK, self.pylock)
        tree.make_file(lock.REQUIREMENTS, self.requirements)
        return tree


def plan(
    request: Request,
    earlier: Mapping[str, Sequence[Group]],
    known: Mapping[str, list[str]],
    ignored: Callable[[str], Ignored],
) -> Plan:
    """Return what is to be captured now; nothing is written.

    `earlier` are the layers of distributions in the capture before, by the environment's folder;
    `known` are libraries found then, `ignored(folder)` is what a project's `.dockerignore` leaves
    out. InvalidParameter for a Python, distribution or path that cannot be taken.
    """
    python = interpreter.ask(request.python)
    folders = [os.path.realpath(folder) for folder in python.site]
    if request.user:
        folders.append(os.path.realpath(python.user_site))
    found = installed(folders, os.path.realpath(python.prefix))
    if request.user:
        found = _with_user(found, python)
    if python.is_conda:
        found = with_conda(found, os.path.realpath(python.prefix))
    wanted = _wanted(found, request)
    taken = [one for one in found if one.name in wanted]
    collected = sites.collect(python, folders, found, wanted)
    parts = [*_bases(python), *_site_parts(collected, taken, earlier.get(python.prefix, ()))]
    made = Plan(
        python,
        parts,
        taken,
        lock.pylock(python, taken),
        lock.requirements(taken),
        [*_editables(taken, request), *collected.left],
        paths=_paths(python, request),
    )
    _separate(parts)
    _add_libraries(made, known)
    if request.code:
        parts.append(_code(made, request, ignored))
    modes: dict[str, int] = {}
    for part in parts:
        part.tree.agree(modes)
        part.fingerprint = f"{FORMAT}-{part.tree.fingerprint()}"
    made.parts = [part for part in parts if part.tree]
    return made


def _bases(python: Interpreter) -> list[Part]:
    base, own, environment = Tree(), Tree(), Tree()
    system.collect(base)
    libraries.configure(base)
    interpreter.collect(python, own)
    interpreter.collect_environment(python, environment)
    return [
        Part(SYSTEM, "a shell, the core utilities, certificates, time zones, libraries", base),
        Part(PYTHON, f"Python {python.release} and its standard library", own),
        # A layer of its own, so that all environments of one Python share that below.
        Part(VENV, f"the environment {python.prefix}", environment),
    ]


def _site_parts(
    collected: sites.Sites, taken: Sequence[Distribution], earlier: Sequence[Group]
) -> list[Part]:
    titles = {one.name: one.title for one in taken}
    sizes = sites.sizes(collected.owned)
    parts = []
    for group in grouping.group(sizes, [g for g in earlier if g.name != OTHER]):
        tree = Tree()
        for name in group.members:
            tree.join(collected.owned[name])
        title = ", ".join(titles[name] for name in group.members)
        parts.append(Part(group.name, title, tree, group.members))
    # What nobody wrote down goes below what was installed later, as it did before.
    added = sum(part.name.startswith(grouping.ADDED) for part in parts)
    other = Part(OTHER, "files in site-packages that no installer wrote down", collected.loose)
    return [*parts[: len(parts) - added], other, *parts[len(parts) - added :]]


def _code(made: Plan, request: Request, ignored: Callable[[str], Ignored]) -> Part:
    tree = Tree()
    for one in request.code:
        own, left = codes.collect(one, ignored(one.path))
        tree.join(own)
        made.left += left
    # Where it is in the image: where it was before is nobody's business who has the image.
    return Part(CODE, f"own code: {', '.join(one.target for one in request.code)}", tree)


def _separate(parts: Sequence[Part]) -> None:
    """Leave out of each layer what one below it has."""
    placed: set[str] = set()
    for part in parts:
        part.tree.leave_out(placed)
        placed |= part.tree.placed()


def _add_libraries(made: Plan, known: Mapping[str, list[str]]) -> None:
    """Add to each layer the libraries that its programs load and that no layer has so far."""
    finder: Libraries | None = None
    everywhere: set[str] = set().union(*(part.tree.placed() for part in made.parts))
    for part in made.parts:
        own = f"{FORMAT}-{part.tree.fingerprint()}-{_linker()}"
        needed = known.get(own)
        if needed is None:
            finder = finder or Libraries()
            always = finder.always() if part.name == SYSTEM else []
            needed = finder.needed([*part.tree.files(), *always])
            needed = sorted({*needed, *always})
        made.libraries[own] = needed
        added = Tree()
        for path in needed:
            added.add(path)
        added.leave_out(everywhere)
        part.tree.join(added)
        everywhere |= added.placed()


def _linker() -> str:
    """Return what changes when libraries are installed or removed."""
    try:
        found = os.stat(libraries.CONFIGURATION[0])
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def _with_user(found: Sequence[Distribution], python: Interpreter) -> list[Distribution]:
    own = installed([os.path.realpath(python.user_site)], os.path.realpath(python.user_base))
    # Python looks into the user's folder first, so what is in both is the user's.
    return sorted({one.name: one for one in (*found, *own)}.values())


def _wanted(found: Sequence[Distribution], request: Request) -> set[str]:
    """Return the names of what is taken; InvalidParameter for one that is not installed."""
    by_name = {one.name: one for one in found}
    include, exclude = (
        [normalized(n) for n in names] for names in (request.include, request.exclude)
    )
    for name in (*include, *exclude):
        if name not in by_name:
            raise InvalidParameter(f"{name} is not installed in {request.python}: see `pip list`")
    wanted = set(by_name)
    if include:
        wanted, pending = set(), include
        while pending:
            name = pending.pop()
            if name in by_name and name not in wanted:
                wanted.add(name)
                pending += by_name[name].requires
        wanted |= {name for name in by_name if name.startswith(CONDA)}
    return wanted - set(exclude)


def _editables(taken: Sequence[Distribution], request: Request) -> list[str]:
    paths = [one.path for one in request.code]
    return [
        f"{one.title} runs from {one.editable}, which is not in the image: --code {one.editable}"
        for one in taken
        if one.editable and not any(f"{one.editable}/".startswith(f"{p}/") for p in paths)
    ]


def _paths(python: Interpreter, request: Request) -> tuple[str, ...]:
    own = (f"{python.prefix}/bin",) if python.owns_prefix else ()
    return (*own, *((f"{python.user_base}/bin",) if request.user else ()))
