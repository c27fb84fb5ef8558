"""An uplink by slirp4netns(1): the network 10.0.2.0/24 in the place, without IPv6."""

import os
import select
from pathlib import Path

from ipycontainer_runtime.network.uplink.starting import SECONDS, Spawn

PROGRAM = "slirp4netns"
_CLOSED = ("--disable-host-loopback", "--disable-dns", "--enable-sandbox")
_SHAPE = ("--configure", "--mtu=65520", "--netns-type=path")


def begin(netns: Path, device: str, spawn: Spawn) -> None:
    """Make the device; slirp4netns says by a descriptor when it works."""
    ready, its = os.pipe()
    try:
        try:
            told = f"--ready-fd={its}"
            started = spawn([PROGRAM, *_SHAPE, *_CLOSED, told, str(netns), device], (its,))
        finally:
            os.close(its)
        waiting = select.poll()  # select(2) takes no descriptor above 1023
        waiting.register(ready, select.POLLIN)
        if not waiting.poll(SECONDS * 1000) or os.read(ready, 1) != b"1":
            started.process.kill()
            raise started.refusal()
    finally:
        os.close(ready)
