"""What each instruction does, and its flags, in our own words: for Shift-Tab and for Tab."""

from __future__ import annotations

from typing import Final

INSTRUCTIONS: Final = {
    "ADD": (
        "ADD [FLAGS] SOURCE... TARGET",
        "Copy files from the context, as COPY does; an archive is unpacked, and what begins with"
        " http:// or https:// is fetched.",
    ),
    "ARG": (
        "ARG NAME[=DEFAULT]",
        "Declare a build argument, which `%arg NAME=VALUE` sets. It can be used from here to the"
        " end of its stage; before the first FROM it is for FROM lines alone.",
    ),
    "CMD": (
        'CMD ["PROGRAM", "ARGUMENT"...]  or  CMD COMMAND',
        "Say what a container runs when nothing else is asked for; with an ENTRYPOINT, what"
        " arguments that gets. Only the last one counts, and the build runs nothing.",
    ),
    "COPY": (
        "COPY [FLAGS] SOURCE... TARGET",
        "Copy files from the context (the notebook's folder, or that of `%context`), or with"
        " --from out of a stage or an image. A new layer, which is reused while they are the same.",
    ),
    "ENTRYPOINT": (
        'ENTRYPOINT ["PROGRAM", "ARGUMENT"...]',
        "Say what program a container always runs; CMD, or what `run` is given, are its arguments.",
    ),
    "ENV": (
        "ENV NAME=VALUE ...",
        "Set environment variables for the instructions that follow and for containers.",
    ),
    "EXPOSE": (
        "EXPOSE PORT[/tcp|/udp] ...",
        "Say on which ports the program listens. Nothing is published by it: `run -p` does that.",
    ),
    "FROM": (
        "FROM [--platform=OS/ARCH] IMAGE [AS STAGE]",
        "Begin a stage on an image, on an earlier stage, or on `scratch`, which is empty. Its name"
        " is for `COPY --from`, for later FROM lines and for `%target`.",
    ),
    "HEALTHCHECK": (
        "HEALTHCHECK [FLAGS] CMD COMMAND  or  HEALTHCHECK NONE",
        "Say how to find out whether a container is well: the command is run in it every now and"
        " then, and its exit code tells.",
    ),
    "LABEL": ("LABEL NAME=VALUE ...", "Write words about the image into it."),
    "MAINTAINER": ("MAINTAINER NAME", "Name the author; a LABEL does that today."),
    "ONBUILD": (
        "ONBUILD INSTRUCTION",
        "Keep an instruction for later: it is run when another build begins FROM this image.",
    ),
    "RUN": (
        "RUN [FLAGS] COMMAND",
        "Run a command in a container of the state so far; the files that it changes are a new"
        " layer. It is reused while nothing above it has changed.",
    ),
    "SHELL": (
        'SHELL ["PROGRAM", "ARGUMENT"...]',
        "Name the shell that RUN, CMD and ENTRYPOINT use from here on where they are no JSON.",
    ),
    "STOPSIGNAL": ("STOPSIGNAL SIGNAL", "Say what signal asks a container to end: SIGTERM."),
    "USER": (
        "USER NAME[:GROUP]",
        "Run what follows, and containers, as this user.",
    ),
    "VOLUME": (
        "VOLUME PATH ...",
        "Have a container keep this folder in a volume. What the build writes there stays as well.",
    ),
    "WORKDIR": (
        "WORKDIR PATH",
        "Make a folder if need be, and work in it from here on; a relative one is below the last.",
    ),
}
"""The form of each, and what it does."""

_TRANSFER = {
    "--chown=": "USER[:GROUP]: who owns the files (root)",
    "--chmod=": "their mode: 644, u=rw",
    "--link": "make the layer on nothing, so that it is reused whatever is below it",
    "--exclude=": "leave out the files that match this pattern",
}
FLAGS: Final = {
    "ADD": {
        **_TRANSFER,
        "--checksum=": "refuse what was fetched if it has another digest",
        "--keep-git-dir=": "keep .git of a repository that was fetched",
        "--unpack=": "unpack an archive, or do not",
    },
    "COPY": {
        **_TRANSFER,
        "--from=": "the stage or image to copy from, not the context",
        "--parents": "keep the folders that the sources are in",
    },
    "FROM": {"--platform=": "the platform of the image: linux/arm64"},
    "HEALTHCHECK": {
        "--interval=": "the time between two checks (30s)",
        "--timeout=": "how long one may take (30s)",
        "--start-period=": "for how long after the start a failure is none (0s)",
        "--start-interval=": "the time between two checks until then (5s)",
        "--retries=": "how many failures in a row it takes (3)",
    },
    "RUN": {
        "--mount=": "type=cache, bind, tmpfs, secret or ssh, and target=PATH: a mount of this step",
        "--network=": "default, none or host",
        "--security=": "sandbox",
    },
}
"""Of each instruction that has some; what ends with `=` wants a value."""

VALUES: Final = {
    "--mount=": [f"type={kind}" for kind in ("bind", "cache", "secret", "ssh", "tmpfs")],
    "--network=": ["default", "host", "none"],
    "--security=": ["sandbox"],
}
