"""Content digests: `sha256:` and 64 hexadecimal digits (OCI image-spec, descriptor.md#digests)."""

import hashlib
import re

from ipycontainer_runtime.errors import InvalidParameter

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_WELL_FORMED = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


def validate(text: str) -> str:
    """Return `text` if it is a digest of a known algorithm, else raise InvalidParameter.

    Every digest that becomes part of a path has passed here.
    """
    if _WELL_FORMED.fullmatch(text):
        return text
    algorithm, _, hexadecimal = text.partition(":")
    if algorithm in _HEX_LENGTH:
        reason = f"wants {_HEX_LENGTH[algorithm]} lower-case hexadecimal digits"
        reason += f" after {algorithm}:, not {len(hexadecimal)} characters"
    else:
        reason = "its algorithm is neither sha256 nor sha512"
    raise InvalidParameter(f"invalid digest {text[:140]!r}: {reason}")


def is_digest(text: str) -> bool:
    """Tell whether `text` is a whole, well-formed digest."""
    return _WELL_FORMED.fullmatch(text) is not None


def of(content: bytes) -> str:
    """Return the sha256 digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def algorithm_of(digest: str) -> str:
    """Return `sha256` or `sha512`."""
    return digest.partition(":")[0]


def hex_of(digest: str) -> str:
    """Return the hexadecimal part of a digest."""
    return digest.partition(":")[2]
