"""Verbs that make containers begin with a person's preferences: limits, profiles, the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..failures import Usage
from ..session import Session
from ..words import split

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..preferences import Preferences

F = TypeVar("F", bound=Callable[..., Any])
# A limit of CPUs may be given in another way, which Docker refuses to have beside `--cpus`.
_INSTEAD = {"--cpus": ("cpu_period", "cpu_quota")}
_NETWORK = ("--network", "--net")


class PreferredCommand(click.Command):
    """A verb that begins with the preferences; what is typed comes later and wins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments with the preferences before them."""
        session = ctx.find_object(Session)
        if session is not None and not ctx.resilient_parsing and "--help" not in args:
            args = self._preferred(ctx, session.preferences, args)
        return super().parse_args(ctx, args)

    def _preferred(
        self, ctx: click.Context, preferences: Preferences, args: Sequence[str]
    ) -> list[str]:
        typed, words = self._read(ctx, args)
        profiles = [
            word
            for name in typed.get("profile") or ()
            for word in self._profile(ctx, preferences, name)
        ]
        if typed.get("network"):
            profiles = _without_networks(profiles)
        given, _ = self._read(ctx, [*profiles, *args])
        limits = [
            word
            for flag, value in preferences.limits().items()
            if value and not any(given.get(other) for other in _INSTEAD.get(flag, ()))
            for word in (flag, value)
        ]
        image = [preferences.image] if preferences.image and not words else []
        return [*limits, *profiles, *args, *image]

    def _profile(self, ctx: click.Context, preferences: Preferences, name: str) -> list[str]:
        if name not in preferences.profiles:
            known = ", ".join(sorted(preferences.profiles)) or "none yet"
            raise Usage(
                f"--profile {name!r}: there is none of that name; "
                f"`IPyContainer.profiles` has {known}"
            )
        words = split(preferences.profiles[name], {})
        flags, rest = self._read(ctx, words)
        if rest or flags.get("profile"):
            what = f"{rest[0]!r}, which is no flag" if rest else "another --profile"
            raise Usage(f"--profile {name!r} holds {what}: a profile is flags alone")
        return words

    def _read(self, ctx: click.Context, args: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the flags in `args`, as they were written, and the words that are none."""
        values, rest, _ = self.make_parser(ctx).parse_args(list(args))
        taken = [values.pop(p.name, None) for p in self.params if isinstance(p, click.Argument)]
        words = [*(taken[0:1] if taken and isinstance(taken[0], str) else ()), *rest]
        return dict(values), words


def _without_networks(words: Sequence[str]) -> list[str]:
    """A container may be in several networks; what is typed is meant instead of a profile's."""
    kept, value = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if value or name in _NETWORK:
            value = not value and not equals
        else:
            kept.append(word)
    return kept


def profile_option(function: F) -> F:
    """Declare `--profile`."""
    return click.option(
        "--profile",
        metavar="NAME",
        multiple=True,
        expose_value=False,
        help="Begin with the flags of this profile.",
        shell_complete=_profiles,
    )(function)


def _profiles(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    session = context.find_object(Session)
    names = () if session is None else sorted(session.preferences.profiles)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
