"""Builds by the real `docker` command, and what came of them."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from buildcases import Case, placed
from buildviews import View, base_layers, of_saved

from support import images
from support.hosts import Host

BASE = "base"
SECONDS = 120


class Built(NamedTuple):
    """What `docker build` said, and the image; none where it failed."""

    output: str
    errors: str
    image: View | None


def build(host: Host, context: Path, tag: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run `docker build` without BuildKit."""
    return subprocess.run(
        ["docker", "build", "-t", tag, *flags, str(context)],
        env={**host.environment, "DOCKER_BUILDKIT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def built(host: Host, case: Case, context: Path) -> Built:
    """Build a case, its context being written to `context`, and look at the image."""
    case.write_context(context)
    tag = f"parity/{case.name}"
    done = build(host, context, tag, *placed(case.flags, context))
    if done.returncode:
        return Built(done.stdout, done.stderr, None)
    saved = host.docker("save", tag)
    assert saved.returncode == 0, saved.stderr
    base = base_layers(images.busybox_layout())
    return Built(done.stdout, done.stderr, of_saved(saved.stdout, base))
