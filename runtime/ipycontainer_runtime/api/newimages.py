"""What requests say of an image that is to be made, or taken: its name, changes, platform."""

import msgspec

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.oci.reference import Reference


def new_name(handler: EngineHandler) -> Reference | None:
    """Return the name that is asked for, by `repo` and `tag`."""
    name, tag = handler.text("repo"), handler.text("tag")
    if not name:
        return None
    reference = Reference.parse(f"{name}:{tag}" if tag else name)
    if reference.digest:
        raise InvalidParameter(f"{name}: an image's name cannot be a digest; give a tag")
    return reference


def changes(handler: EngineHandler) -> tuple[str, ...]:
    """Return one instruction a line: clients send them apart, or all in one parameter."""
    lines = [line for text in handler.get_query_arguments("changes") for line in text.split("\n")]
    return tuple(line for line in lines if line.strip())


def wanted_platform(handler: EngineHandler) -> Platform | None:
    """Return the platform that is asked for, as JSON since 1.48, or as a person writes it."""
    text = handler.text("platform")
    if not text.startswith("{"):
        return platforms.parse(text) if text else None
    try:
        asked = msgspec.json.decode(text, type=Platform)
    except msgspec.MsgspecError as error:
        raise InvalidParameter(f"invalid platform {text[:100]!r}: {error}") from error
    return platforms.parse(str(asked))
