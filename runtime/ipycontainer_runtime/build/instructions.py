"""The instructions of a Dockerfile as frozen data.

Each keeps where it stands (`span`), its text on one line without heredocs (`source`) and the
Dockerfile's escape character. Words are as written until `expand.expanded` has put the variables'
values in: quotes and `$` are still there. Paths are never resolved here.
Source: https://docs.docker.com/reference/dockerfile/
"""

from typing import ClassVar

import msgspec

from ipycontainer_runtime.build.source import Span


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """What all instructions have."""

    keyword: ClassVar[str]

    span: Span
    source: str
    escape: str = "\\"
    comments: tuple[str, ...] = ()
    """The comment lines right above, without `#`."""


class Heredoc(msgspec.Struct, frozen=True):
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


class Pair(msgspec.Struct, frozen=True):
    """NAME=value of ENV and LABEL; `legacy` when written `NAME value`."""

    name: str
    value: str
    legacy: bool = False


class Argument(msgspec.Struct, frozen=True):
    """A variable that ARG declares, with its default or None."""

    name: str
    default: str | None


class Document(msgspec.Struct, frozen=True):
    """A file that COPY or ADD makes of a heredoc: named `name` in a destination folder."""

    name: str
    content: str
    expand: bool


class Command(msgspec.Struct, frozen=True):
    """The words of RUN, CMD and ENTRYPOINT; in shell form one text that the SHELL gets."""

    words: tuple[str, ...]
    shell: bool


class From(Instruction, frozen=True, kw_only=True):
    """FROM: begins a stage. `stage` is its name in lower case, or ""."""

    keyword = "FROM"

    image: str
    stage: str = ""
    platform: str = ""


class Arg(Instruction, frozen=True, kw_only=True):
    """ARG NAME[=default] …"""

    keyword = "ARG"

    arguments: tuple[Argument, ...]


class Env(Instruction, frozen=True, kw_only=True):
    """ENV NAME=value …"""

    keyword = "ENV"

    pairs: tuple[Pair, ...]


class Label(Instruction, frozen=True, kw_only=True):
    """LABEL NAME=value …"""

    keyword = "LABEL"

    pairs: tuple[Pair, ...]


class Maintainer(Instruction, frozen=True, kw_only=True):
    """MAINTAINER text: the image's author."""

    keyword = "MAINTAINER"

    author: str


class _Transfer(Instruction, frozen=True, kw_only=True):
    """What COPY and ADD share. `sources` has no heredocs; those are `documents`."""

    sources: tuple[str, ...]
    documents: tuple[Document, ...] = ()
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


class Add(_Transfer, frozen=True, kw_only=True):
    """ADD; `keep_git_dir` and `unpack` are None where the flag is not given."""

    keyword = "ADD"

    keep_git_dir: bool | None = None
    checksum: str = ""
    unpack: bool | None = None


class Copy(_Transfer, frozen=True, kw_only=True):
    """COPY; `origin` is --from: a stage's name or number, an image, or "" for the context."""

    keyword = "COPY"

    origin: str = ""
    parents: bool = False


class Mount(msgspec.Struct, frozen=True):
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


class Run(Instruction, frozen=True, kw_only=True):
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


class Cmd(Instruction, frozen=True, kw_only=True):
    """CMD."""

    keyword = "CMD"

    command: Command


class Entrypoint(Instruction, frozen=True, kw_only=True):
    """ENTRYPOINT."""

    keyword = "ENTRYPOINT"

    command: Command


class Shell(Instruction, frozen=True, kw_only=True):
    """SHELL ["program", "argument"]."""

    keyword = "SHELL"

    words: tuple[str, ...]


class Healthcheck(Instruction, frozen=True, kw_only=True):
    """HEALTHCHECK: `test` as the image's config has it, times in nanoseconds."""

    keyword = "HEALTHCHECK"

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Expose(Instruction, frozen=True, kw_only=True):
    """EXPOSE: expanded, `ports` are like 80/tcp, one for each port of a range."""

    keyword = "EXPOSE"

    ports: tuple[str, ...]
    written: tuple[str, ...] = ()
    """Expanded, the words as they stand there: 80, or a whole range."""


class User(Instruction, frozen=True, kw_only=True):
    """USER name[:group]."""

    keyword = "USER"

    user: str


class Workdir(Instruction, frozen=True, kw_only=True):
    """WORKDIR path, absolute or not."""

    keyword = "WORKDIR"

    path: str


class Volume(Instruction, frozen=True, kw_only=True):
    """VOLUME path …"""

    keyword = "VOLUME"

    paths: tuple[str, ...]


class StopSignal(Instruction, frozen=True, kw_only=True):
    """STOPSIGNAL name or number."""

    keyword = "STOPSIGNAL"

    signal: str


class OnBuild(Instruction, frozen=True, kw_only=True):
    """ONBUILD: `trigger` is the instruction's text, heredocs included, as the image keeps it."""

    keyword = "ONBUILD"

    trigger: str
