"""What is counted in a filter's bytes is what its profile says."""

import json
from pathlib import Path

import pytest

from ipycontainer_runtime.linux.capabilities import DEFAULT
from ipycontainer_runtime.linux.seccomp import conditional, custom, default_filter, table
from ipycontainer_runtime.linux.seccomp.census import Census, census
from ipycontainer_runtime.linux.seccomp.profile import (
    ALLOW,
    EPERM,
    FAKED,
    Allow,
    faking,
    verdicts,
)


def counted(tmp_path: Path, content: bytes, machine: str) -> dict[str, Census]:
    file = tmp_path / "filter.bpf"
    file.write_bytes(content)
    return {entry.architecture: entry for entry in census(file, machine)}


@pytest.mark.parametrize("one_id", [False, True])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_filter_is_counted_as_its_profile_says(
    tmp_path: Path, machine: str, one_id: bool
) -> None:
    said = verdicts(DEFAULT)
    said = faking(said) if one_id else said
    found = counted(tmp_path, default_filter(DEFAULT, machine, one_id=one_id), machine)
    assert next(iter(found)) == machine
    for architecture, entry in found.items():
        told = [said.get(name, EPERM) for name in table(architecture)]
        assert entry.calls == len(told)
        assert entry.allowed == sum(verdict == ALLOW for verdict in told)
        assert entry.faked == sum(verdict == FAKED for verdict in told)
        asked = sum(isinstance(verdict, Allow) and verdict != ALLOW for verdict in told)
        assert entry.conditional == asked
        assert entry.refused == len(told) - entry.allowed - entry.faked - asked
        assert (entry.faked > 0) == one_id


def test_a_persons_own_filter_is_counted(tmp_path: Path) -> None:
    above = {"index": 0, "op": "SCMP_CMP_GT", "value": 1 << 33}
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "rmdir"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [above]},
            {"names": ["chmod"], "action": "SCMP_ACT_LOG"},
        ],
    }
    resolved = conditional.resolved(json.dumps(profile), DEFAULT)
    entry = counted(tmp_path, custom.compiled(resolved, "x86_64"), "x86_64")["x86_64"]
    assert (entry.refused, entry.conditional) == (2, 1)
    assert entry.allowed == entry.calls - 3
