"""Which networks a list shows: Docker's filters, with its refusals."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.networks import Network

_KNOWN = ("dangling", "driver", "id", "label", "name", "scope", "type")
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def select(
    networks: Iterable[Network],
    filters: Mapping[str, Sequence[str]],
    *,
    used: Callable[[Network], bool],
) -> list[Network]:
    """Return the networks that pass every filter, by any value of each but by every label."""
    _check(filters)
    return [
        network
        for network in networks
        if all(_matches(network, name, values, used) for name, values in filters.items() if values)
    ]


def _check(filters: Mapping[str, Sequence[str]]) -> None:
    for name, values in filters.items():
        if name not in _KNOWN:
            raise InvalidParameter(f"Invalid filter '{name}'")
        for value in values:
            if name == "type" and value not in ("builtin", "custom"):
                raise InvalidParameter(f"invalid filter: 'type'='{value}'")
            if name == "dangling" and value not in (*_TRUE, *_FALSE):
                raise InvalidParameter(
                    'invalid value for filter \'dangling\', must be "true" (or "1"), or '
                    '"false" (or "0")'
                )


def _matches(
    network: Network, name: str, values: Sequence[str], used: Callable[[Network], bool]
) -> bool:
    if name == "label":
        return all(_labelled(network.labels, value) for value in values)
    if name == "dangling":
        unused = not network.predefined and not used(network)
        return any(unused == (value in _TRUE) for value in values)
    if name == "type":
        return any(network.predefined == (value == "builtin") for value in values)
    if name == "scope":
        return "local" in values
    if name == "driver":
        return network.driver in values
    text = network.id if name == "id" else network.name
    return any(value in text if name == "name" else text.startswith(value) for value in values)


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
