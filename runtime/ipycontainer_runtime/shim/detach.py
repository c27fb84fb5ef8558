"""The keys by which a person leaves a container's terminal without ending it."""

DEFAULT = b"\x10\x11"  # ctrl-p, ctrl-q


def parse(text: str) -> bytes:
    """Return the bytes that Docker's notation `ctrl-p,ctrl-q` stands for; "" is the default.

    A key is one character, or ctrl- with a letter or one of @ [ \\ ] ^ _. Raises
    InvalidParameter that names the key.
    """
    if not text:
        return DEFAULT
    return bytes(_key(key) for key in text.split(","))


def _key(key: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    name = key.removeprefix("ctrl-")
    if key == "DEL":
        return 0x7F
    if name != key and len(name) == 1:
        upper = name.upper()
        if "@" <= upper <= "_":
            return ord(upper) - 0x40
    raise ValueError(
        f"unknown detach key {key!r}: write ctrl-a to ctrl-z, ctrl-@, or one character"
    )


class DetachKeys:
    """Looks for the keys in what a client types, also where they come in pieces."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the keys were seen.

        A beginning of the keys is held back until it is clear that they do not follow.
        """
        data = self._held + data
        at = data.find(self._keys)
        if at >= 0:
            return data[:at], True
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:length]):
                self._held = data[-length:]
                return data[:-length], False
        self._held = b""
        return data, False
