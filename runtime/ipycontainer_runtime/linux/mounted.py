"""What /proc tells of the file systems that are mounted."""


def filesystem(path: str) -> str:
    """Return the type of the file system under `path`; the longest mount point wins."""
    best, kind = "", "unknown"
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            _source, target, found, *_rest = line.split(" ")
            inside = path == target or path.startswith(target.rstrip("/") + "/")
            if inside and len(target) >= len(best):
                best, kind = target, found
    return kind
