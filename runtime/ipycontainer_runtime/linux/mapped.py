"""Files that processes can write to without a trace: mapped to memory, shared and writable."""

from collections.abc import Iterable
from pathlib import Path


def written_in_memory(pids: Iterable[int]) -> set[bytes]:
    """Return the paths of such files, without the leading `/`, as the processes see them.

    Pages that were written once can be written again without the file's times moving.
    """
    found = set()
    for pid in pids:
        try:
            maps = Path(f"/proc/{pid}/maps").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended; and one that we may not look into is none of the container's
        if b"w-s " not in maps and b"wxs " not in maps:
            continue
        for line in maps.splitlines():
            fields = line.split(None, 5)
            if len(fields) == 6 and b"w" in fields[1] and b"s" in fields[1]:
                found.add(fields[5].lstrip(b"/"))
    return found
