"""The JSON form of an instruction: an array of strings, and what looks like one but is not."""

import msgspec

from ipycontainer_runtime.build.words import SPACE


class NotStringsError(ValueError):
    """A JSON array with something else than strings in it."""

    def __init__(self) -> None:
        super().__init__("when using JSON array syntax, arrays must be comprised of strings only")


class ZeroByteError(ValueError):
    """A JSON array with a zero byte in a word."""

    def __init__(self) -> None:
        super().__init__("a zero byte (\\u0000) is in no path, word or name: remove it")


def json_words(text: str) -> tuple[str, ...] | None:
    """Return the strings of a JSON array; None for what is no JSON array, which is other text.

    NotStringsError for an array with anything else in it, ZeroByteError for a word that no program
    can be given.
    """
    found = _array(text)
    if found is None:
        return None
    if not all(isinstance(word, str) for word in found):
        raise NotStringsError
    if any("\0" in word for word in found):
        raise ZeroByteError
    return tuple(found)


def is_json(text: str) -> bool:
    """Tell whether the text is a JSON array, of whatever."""
    return _array(text) is not None


def _array(text: str) -> list[str] | None:
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        found = msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, list) else None
