"""The ports of EXPOSE: `80`, `53/udp`, `8000-8010/tcp`, and the host's part, which is left out."""

import re

_PROTOCOLS = ("tcp", "udp", "sctp")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def ports(word: str) -> list[str]:
    """Return the ports of one word as an image's config names them; ValueError if it has none."""
    # What stands before the last colon is an address or port of the host.
    range_, slash, protocol = word.rpartition(":")[2].partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}: use one of {', '.join(_PROTOCOLS)}")
    match = _PORT.fullmatch(range_)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if last > 65535 or first > last:
        raise ValueError(f"invalid containerPort: {range_}: write 80, 53/udp or 8000-8010")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]
