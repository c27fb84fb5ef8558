import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipycontainer_runtime.linux import calls, probes

pytestmark = pytest.mark.ordinary_user


def test_every_probe_answers_and_names_a_cure_when_it_fails() -> None:
    for probe in probes.probes():
        assert probe.detail
        assert probe.ok or probe.cure
        assert "\n" not in probe.detail + probe.cure


@pytest.mark.needs("root")
def test_a_kind_of_namespace_that_is_used_up_is_named_with_its_cure() -> None:
    # A limit of its own for the new user namespace, which nobody else has.
    script = (
        "from pathlib import Path; from ipycontainer_runtime.linux import probes; "
        "Path('/proc/sys/user/max_net_namespaces').write_text('0'); "
        "print(*probes.probe('namespaces')[1:], sep='\\n')"
    )
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        "False",
        "refused: network (No space left on device)",
        "This machine allows no more: as root run `sysctl user.max_net_namespaces=15000`",
    ]


def test_a_probe_is_tried_once() -> None:
    assert probes.probe("overlay") is probes.probe("overlay")


def test_an_unknown_probe_is_an_error() -> None:
    with pytest.raises(KeyError):
        probes.probe("teleport")


def test_a_trial_leaves_this_process_where_it_was(tmp_path: Path) -> None:
    before = os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/mnt")
    mounts = Path("/proc/self/mountinfo").read_text()
    probes.overlay(tmp_path)
    assert (os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/mnt")) == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert os.listdir(tmp_path) == []


def test_a_failed_trial_tells_the_call_and_the_error() -> None:
    error = probes.in_child(lambda: calls.setns(-1, 0))
    assert error is not None
    assert (error.filename, error.strerror) == ("setns", "Bad file descriptor")


def test_overlay_says_where_it_cannot_be() -> None:
    probe = probes.overlay(Path("/tmp"))
    assert probe.ok, probe


def test_the_machine_of_the_tests_has_what_they_need() -> None:
    assert probes.probe("seccomp").ok
    assert probes.probe("userns").ok
