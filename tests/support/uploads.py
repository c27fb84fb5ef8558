"""A registry's half of uploads, for a scripted one: strict about offsets, as the API is."""

import re

from support.scripted import Answer, Scripted, Seen

_SPAN = re.compile(r"(\d+)-(\d+)")


class Uploads:
    """Takes uploads to any repository of `server`; `blobs` are those that came whole."""

    def __init__(self, server: Scripted, *, pieces: bool = True, most: int = 1 << 40) -> None:
        self.blobs: dict[str, bytes] = {}
        self.mounts = 0
        self._pieces = pieces
        self._most = most
        self._parts: dict[str, bytearray] = {}
        server.on("/v2/", self._answer)

    def _answer(self, seen: Seen) -> Answer:
        path, _, query = seen.path.partition("?")
        if "/manifests/" in path:
            return Answer(b"", 201)
        if seen.method == "HEAD":
            here = path.rpartition("/")[2] in self.blobs
            return Answer(b"", 200 if here else 404)
        if seen.method == "POST":
            self.mounts += "mount=" in query
            number = str(len(self._parts))
            self._parts[number] = bytearray()
            return Answer(b"", 202, {"Location": f"{path}{number}?_state=s%20t"})
        return self._upload(seen, path, query)

    def _upload(self, seen: Seen, path: str, query: str) -> Answer:
        part = self._parts.get(path.rpartition("/")[2])
        if part is None or seen.method == "DELETE":
            return Answer(b"", 404 if part is None else 204)
        if len(seen.body) > self._most:
            return Answer(b"", 413)
        if seen.method == "GET":
            return Answer(b"", 204, {"Location": seen.path, "Range": self._range(part)})
        if seen.method == "PATCH":
            span = _SPAN.fullmatch(seen.headers.get("Content-Range", ""))
            if not self._pieces:
                return Answer(b"", 405)
            if not span or int(span[1]) != len(part):
                return Answer(b"", 416)
        part += seen.body
        if seen.method == "PUT":
            self.blobs[query.rpartition("digest=")[2].replace("%3A", ":")] = bytes(part)
            return Answer(b"", 201)
        return Answer(b"", 202, {"Location": seen.path, "Range": self._range(part)})

    def _range(self, part: bytearray) -> str:
        return f"0-{max(len(part) - 1, 0)}"
