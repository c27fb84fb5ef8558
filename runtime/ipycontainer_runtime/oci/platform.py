"""Platforms: which machine an image is for, and which entry of an index suits one."""

import platform as host_machine

import msgspec

from ipycontainer_runtime.errors import InvalidParameter

# What uname, people and older images call them, and what registries call them.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "armel": "arm",
    "i386": "386",
    "i686": "386",
}
_VARIANTS = {"armv7l": "v7", "armhf": "v7", "armv6l": "v6", "armel": "v6"}
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operating system and a machine, in the image-spec's names (those of Go)."""

    architecture: str = ""
    os: str = ""
    variant: str | None = None
    os_version: str | None = msgspec.field(default=None, name="os.version")
    os_features: tuple[str, ...] | None = msgspec.field(default=None, name="os.features")

    def __str__(self) -> str:
        variant = f"/{self.variant}" if self.variant else ""
        return f"{self.os}/{self.architecture}{variant}"


def parse(text: str) -> Platform:
    """Parse `linux/amd64`, `linux/arm64/v8` or `arm64`; raise InvalidParameter otherwise."""
    parts = text.lower().split("/")
    if not all(part and part.replace("-", "").replace("_", "").isalnum() for part in parts):
        parts = []
    if len(parts) == 1:
        parts = ["linux", *parts] if parts[0] != "linux" else [*parts, host().architecture]
    if len(parts) not in (2, 3):
        raise InvalidParameter(
            f"invalid platform {text!r}: write OS/ARCHITECTURE[/VARIANT], as in linux/arm64/v8"
        )
    return _normal(parts[1], parts[0], parts[2] if len(parts) == 3 else None)


def host() -> Platform:
    """Return the platform of this machine, always Linux."""
    return _normal(host_machine.machine().lower(), "linux", None)


def _normal(architecture: str, os: str, variant: str | None) -> Platform:
    variant = variant or _VARIANTS.get(architecture)
    architecture = _ARCHITECTURES.get(architecture, architecture)
    return Platform(architecture, os, variant)


def matches(wanted: Platform, offered: Platform) -> bool:
    """Tell whether an image for `offered` runs where `wanted` is asked for."""
    return preference(wanted, offered) is not None


def preference(wanted: Platform, offered: Platform) -> int | None:
    """Rank `offered` for `wanted`: 0 is exact, more is worse, None does not run.

    arm/v6 runs on v7; a higher variant than the wanted one does not run.
    """
    offered = _normal(offered.architecture, offered.os, offered.variant)
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    default = _DEFAULT_VARIANT.get(wanted.architecture, "")
    want, have = _level(wanted.variant or default), _level(offered.variant or default)
    return want - have if have <= want else None


def _level(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isdecimal() else 0
