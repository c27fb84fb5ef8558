"""The record of a container's end, for the next engine if none is there to hear of it."""

import os
import sys
import time

from ..linux.channel import to_json
from .clock import rfc3339
from .process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..linux.channel import Message

NAME = "exit.json"


def write_exit(folder: str, process: Process, oom: bool, peak: int) -> "Message":
    """Write exit.json whole or not at all, and return the event that tells the same.

    `peak` is the most memory that one which ran out of it had, in bytes; else 0.
    """
    record = {
        "code": process.code,
        "signal": process.signal,
        "at": rfc3339(time.time_ns()),
        "oom": oom,
        "peak": peak,
        "started_at": process.started_at,
        "times": {**process.times, "spoke": process.streams.spoke},
    }
    path = f"{folder}/{NAME}"
    try:
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(fd, to_json(record))
        os.close(fd)
        os.rename(path + ".new", path)
    except OSError as error:
        # An engine that is there still learns of it by the event.
        print(f"cannot write {path}: {error}", file=sys.stderr)
    return {"event": "exit", **record}
