"""The instructions of a Dockerfile as frozen data.

Each keeps where it stands (`span`), its text on one line without heredocs (`source`) and the
Dockerfile's escape character. Words are as written until `expand.expanded` has put the variables'
values in: quotes and `$` are still there. Paths are never resolved here.
Source: https://docs.docker.com/reference/dockerfile/
"""

from dataclasses import dataclass, field
from typing import ClassVar

from ipycontainer_runtime.build.source import Span


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What all instructions have."""

    keyword: ClassVar[str]

    span: Span
    source: str
    escape: str = field(default="\\", repr=False)
    comments: tuple[str, ...] = field(default=(), repr=False)
    """The comment lines right above, without `#`."""


@dataclass(frozen=True)
class Heredoc:
    """A here-document: its lines as they stand in the file, `<<-`'s tabs included."""

    name: str
    content: str
    expand: bool
    """Whether variables in it have their values put in: not when its name is quoted."""
    chomp: bool
    """Whether the leading tabs of each line go (`<<-`)."""
    descriptor: int = 0

    @property
    def text(self) -> str:
        """The content as the reader of the document gets it."""
        if not self.chomp:
            return self.content
        return "".join(line.lstrip("\t") for line in self.content.splitlines(keepends=True))


@dataclass(frozen=True)
class Pair:
    """NAME=value of ENV and LABEL; `legacy` when written `NAME value`."""

    name: str
    value: str
    legacy: bool = False


@dataclass(frozen=True)
class Argument:
    """A variable that ARG declares, with its default or None."""

    name: str
    default: str | None


@dataclass(frozen=True)
class Document:
    """A file that COPY or ADD makes of a heredoc: named `name` in a destination folder."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True)
class Command:
    """The words of RUN, CMD and ENTRYPOINT; in shell form one text that the SHELL gets."""

    words: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, kw_only=True)
class From(Instruction):
    """FROM: begins a stage. `stage` is its name in lower case, or ""."""

    keyword = "FROM"

    image: str
    stage: str = ""
    platform: str = ""


@dataclass(frozen=True, kw_only=True)
class Arg(Instruction):
    """ARG NAME[=default] …"""

    keyword = "ARG"

    arguments: tuple[Argument, ...]


@dataclass(frozen=True, kw_only=True)
class Env(Instruction):
    """ENV NAME=value …"""

    keyword = "ENV"

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Label(Instruction):
    """LABEL NAME=value …"""

    keyword = "LABEL"

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Maintainer(Instruction):
    """MAINTAINER text: the image's author."""

    keyword = "MAINTAINER"

    author: str


@dataclass(frozen=True, kw_only=True)
class _Transfer(Instruction):
    """What COPY and ADD share. `sources` has no heredocs; those are `documents`."""

    sources: tuple[str, ...]
    documents: tuple[Document, ...] = ()
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Add(_Transfer):
    """ADD; `keep_git_dir` and `unpack` are None where the flag is not given."""

    keyword = "ADD"

    keep_git_dir: bool | None = None
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Copy(_Transfer):
    """COPY; `origin` is --from: a stage's name or number, an image, or "" for the context."""

    keyword = "COPY"

    origin: str = ""
    parents: bool = False


@dataclass(frozen=True)
class Mount:
    """One RUN --mount, every variable expanded.

    `kind` is bind, cache, tmpfs, secret or ssh. `origin` is its `from`. Numbers that were not
    given are None; `size` is in bytes, 0 for no limit. `identity` is `id` (and a secret's
    `source`), `env` the variable that a secret is given in.
    """

    kind: str = "bind"
    target: str = ""
    source: str = ""
    origin: str = ""
    read_only: bool = True
    identity: str = ""
    sharing: str = ""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int = 0
    required: bool = False
    env: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run(Instruction):
    """RUN. `network` is default, none or host; `security` sandbox or insecure.

    `mount_flags` are the --mount values as written and `mounts` what they mean, which is complete
    once the instruction is expanded (before that where no variable stands in any of them).
    """

    keyword = "RUN"

    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mount_flags: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    origins: tuple[str, ...] = ()
    """The `from` of each mount that has one; variables are refused there."""
    network: str = "default"
    security: str = "sandbox"


@dataclass(frozen=True, kw_only=True)
class Cmd(Instruction):
    """CMD."""

    keyword = "CMD"

    command: Command


@dataclass(frozen=True, kw_only=True)
class Entrypoint(Instruction):
    """ENTRYPOINT."""

    keyword = "ENTRYPOINT"

    command: Command


@dataclass(frozen=True, kw_only=True)
class Shell(Instruction):
    """SHELL ["program", "argument"]."""

    keyword = "SHELL"

    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Healthcheck(Instruction):
    """HEALTHCHECK: `test` as the image's config has it, times in nanoseconds."""

    keyword = "HEALTHCHECK"

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class Expose(Instruction):
    """EXPOSE: expanded, `ports` are like 80/tcp, one for each port of a range."""

    keyword = "EXPOSE"

    ports: tuple[str, ...]
    written: tuple[str, ...] = ()
    """Expanded, the words as they stand there: 80, or a whole range."""


@dataclass(frozen=True, kw_only=True)
class User(Instruction):
    """USER name[:group]."""

    keyword = "USER"

    user: str


@dataclass(frozen=True, kw_only=True)
class Workdir(Instruction):
    """WORKDIR path, absolute or not."""

    keyword = "WORKDIR"

    path: str


@dataclass(frozen=True, kw_only=True)
class Volume(Instruction):
    """VOLUME path …"""

    keyword = "VOLUME"

    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StopSignal(Instruction):
    """STOPSIGNAL name or number."""

    keyword = "STOPSIGNAL"

    signal: str


@dataclass(frozen=True, kw_only=True)
class OnBuild(Instruction):
    """ONBUILD: `trigger` is the instruction's text, heredocs included, as the image keeps it."""

    keyword = "ONBUILD"

    trigger: str
