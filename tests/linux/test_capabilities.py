from pathlib import Path

import pytest

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.linux import capabilities
from ipycontainer_runtime.linux.capabilities import DEFAULT, NAMES, NUMBERS, mask, names, tweak
from support.needs import require


def test_the_defaults_are_dockers_fourteen() -> None:
    assert len(DEFAULT) == 14
    # What `docker run alpine grep CapEff /proc/1/status` shows.
    assert mask(DEFAULT) == 0x00000000A80425FB


def test_numbers_are_the_kernel_headers() -> None:
    header = Path("/usr/include/linux/capability.h")
    require("kernel headers")
    found = {}
    for line in header.read_text().splitlines():
        words = line.split()
        if words[:1] == ["#define"] and len(words) == 3 and words[2].isdigit():
            found[words[1]] = int(words[2])
    assert {name: found[name] for name in NAMES} == NUMBERS


def test_this_kernels_last_capability_is_known() -> None:
    assert capabilities.last_capability() < len(NAMES)


def test_without_flags_there_are_the_defaults() -> None:
    assert tweak() == DEFAULT


@pytest.mark.parametrize("name", ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_net_admin"])
def test_a_name_may_be_in_any_case_with_or_without_the_prefix(name: str) -> None:
    assert tweak(add=[name]) == DEFAULT | {"CAP_NET_ADMIN"}


def test_a_dropped_one_is_gone() -> None:
    assert tweak(drop=["MKNOD"]) == DEFAULT - {"CAP_MKNOD"}


def test_all_dropped_leaves_what_is_added() -> None:
    assert tweak(drop=["ALL"]) == frozenset()
    assert tweak(add=["CHOWN"], drop=["ALL"]) == {"CAP_CHOWN"}


def test_all_added_loses_what_is_dropped() -> None:
    everything = tweak(add=["ALL"])
    assert len(everything) == capabilities.last_capability() + 1
    assert tweak(add=["ALL"], drop=["SYS_ADMIN"]) == everything - {"CAP_SYS_ADMIN"}


def test_added_wins_over_dropped() -> None:
    assert tweak(add=["MKNOD"], drop=["MKNOD"]) == DEFAULT


def test_privileged_has_all_whatever_is_dropped() -> None:
    assert tweak(drop=["CHOWN"], privileged=True) == tweak(add=["ALL"])


@pytest.mark.parametrize("name", ["CAP_FLY", "", "CAP_", "all cap", "0"])
def test_an_unknown_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidParameter) as seen:
        tweak(add=[name])
    assert f'"{name}"' in str(seen.value)
    with pytest.raises(InvalidParameter):
        tweak(drop=[name])


def test_masks_and_names_are_inverse() -> None:
    assert names(mask(DEFAULT)) == DEFAULT
    assert names(1 << 63) == frozenset()
