"""What a person prefers: set in a notebook or kept in a file, and begun with by the verbs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cells import Box, Shell

from ipycontainer.failures import Usage
from ipycontainer.preferences import NAME, Preferences

CREATE = "%container create --net none --name web"


@pytest.fixture
def config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where this test's person keeps what configures Jupyter."""
    folder = tmp_path / "jupyter"
    folder.mkdir()
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(folder))
    return folder


def host_config(box: Box) -> dict[str, Any]:
    return dict(box.client.api.inspect_container("web")["HostConfig"])


def test_limits_are_those_preferred_where_no_flag_says_otherwise(box: Box, shell: Shell) -> None:
    shell.run("%config IPyContainer.memory = '64m'\n%config IPyContainer.pids_limit = 50")
    assert shell.run(f"{CREATE} --pids-limit 20 busybox true").error is None
    found = host_config(box)
    assert (found["Memory"], found["PidsLimit"]) == (64 << 20, 20)


def test_preferred_cpus_give_way_to_a_quota(box: Box, shell: Shell) -> None:
    shell.run("%config IPyContainer.cpus = 0.5")
    assert shell.run(f"{CREATE} --cpu-quota 20000 busybox true").error is None
    assert (host_config(box)["CpuQuota"], host_config(box)["NanoCpus"]) == (20000, 0)


def test_a_profile_is_flags_that_typed_ones_add_to_or_overrule(box: Box, shell: Shell) -> None:
    shell.run(
        "%config IPyContainer.profiles = "
        "{'lab': '-m 64m --cpus 0.5 -e A=1 -w /tmp', 'wide': '--cpus 1'}"
    )
    ran = shell.run(f"{CREATE} --profile lab --profile wide -e B=2 -w /var busybox true")
    assert ran.error is None
    details = box.client.api.inspect_container("web")
    assert {"A=1", "B=2"} <= set(details["Config"]["Env"])
    assert details["Config"]["WorkingDir"] == "/var"
    found = host_config(box)
    assert (found["Memory"], found["NanoCpus"]) == (64 << 20, 1_000_000_000)


def test_a_typed_network_is_meant_instead_of_a_profiles(box: Box, shell: Shell) -> None:
    shell.run("%config IPyContainer.profiles = {'far': '--net=host -e A=1 --network host'}")
    ran = shell.run("%container create --profile far --network none busybox true")
    host, config = ran.value.attrs["HostConfig"], ran.value.attrs["Config"]
    assert host["NetworkMode"] == "none"
    assert "A=1" in config["Env"]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("nope", "--profile 'nope': there is none of that name; `IPyContainer.profiles` has bad"),
        ("bad", "--profile 'bad' holds 'busybox', which is no flag: a profile is flags alone"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(shell: Shell, profile: str, words: str) -> None:
    shell.run("%config IPyContainer.profiles = {'bad': '-m 64m busybox'}")
    ran = shell.run(f"{CREATE} --profile {profile} busybox true")
    assert isinstance(ran.error, Usage)
    assert str(ran.error) == words


def test_the_preferred_image_is_taken_where_none_is_named(box: Box, shell: Shell) -> None:
    shell.run("%config IPyContainer.image = 'busybox'")
    ran = shell.run("%%container run --rm --net none -i\necho from the body\n")
    assert (ran.error, ran.out) == (None, "from the body\n")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("memory = 'much'", "'much' is no size; write 512m or 1g"),
        ("cpus = 0.0", "0.0 is not above 0; None is no limit"),
        ("display = 'loud'", "any of ['rich', 'text']"),
        ("profiles = {'lab': '-e \"'}", "a quote is never closed"),
    ],
)
def test_a_preference_that_cannot_be_is_refused_at_once(
    shell: Shell, caplog: pytest.LogCaptureFixture, assignment: str, words: str
) -> None:
    shell.run(f"%config IPyContainer.{assignment}")
    assert words in caplog.text  # IPython's `%config` logs what is wrong
    name = assignment.split(maxsplit=1)[0]
    assert f"IPyContainer.{name}=" in shell.run("%config IPyContainer").out
    preferences = next(c for c in shell.ip.configurables if type(c).__name__ == "IPyContainer")
    assert getattr(preferences.current(), name) == getattr(Preferences(), name)


def test_text_alone_is_shown_where_that_is_preferred(box: Box, shell: Shell) -> None:
    assert "text/html" in shell.magic("images")._repr_mimebundle_()
    shell.run("%config IPyContainer.display = 'text'")
    assert set(shell.magic("images")._repr_mimebundle_()) == {"text/plain"}


def test_config_tells_each_preference(shell: Shell) -> None:
    told = shell.run("%config IPyContainer").out
    for name in ("image", "memory", "cpus", "pids_limit", "profiles", "display"):
        assert f"IPyContainer.{name}=" in told


def test_unloading_takes_the_preferences_back(shell: Shell) -> None:
    shell.run("%unload_ext ipycontainer")
    assert not [c for c in shell.ip.configurables if type(c).__name__ == "IPyContainer"]
    shell.run("%load_ext ipycontainer")
    assert len([c for c in shell.ip.configurables if type(c).__name__ == "IPyContainer"]) == 1


def test_a_file_is_read_by_notebook_and_command_line(
    box: Box,
    config_folder: Path,
    shell: Shell,
    command: Callable[..., subprocess.CompletedProcess[bytes]],
) -> None:
    chosen = {"IPyContainer": {"image": "busybox", "profiles": {"lab": "-e A=1"}}}
    (config_folder / f"{NAME}.json").write_text(json.dumps(chosen))
    (config_folder / f"{NAME}.py").write_text("c = get_config()\nc.IPyContainer.memory = '64m'\n")
    shell.run("%reload_ext ipycontainer")
    assert shell.run(f"{CREATE} --profile lab").error is None
    first = box.client.api.inspect_container("web")
    box.client.api.remove_container("web")
    done = command("create", "--net", "none", "--name", "web", "--profile", "lab")
    assert done.returncode == 0, done.stderr
    second = box.client.api.inspect_container("web")
    for details in (first, second):
        assert details["HostConfig"]["Memory"] == 64 << 20
        assert "A=1" in details["Config"]["Env"]


def test_a_broken_file_is_named_and_leaves_other_verbs_alone(
    box: Box, config_folder: Path, command: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    path = config_folder / f"{NAME}.json"
    path.write_text("{")
    done = command("create", "busybox")
    assert done.returncode != 0
    assert done.stderr.startswith(f"ipycontainer: {path}: ".encode())
    assert done.stderr.count(b"\n") == 1
    assert command("ps").returncode == 0


def test_tab_offers_the_profiles(shell: Shell) -> None:
    shell.run("%config IPyContainer.profiles = {'lab': '-m 64m', 'wide': '--cpus 1'}")
    assert shell.ip.Completer is not None
    _, found = shell.ip.complete(None, "%container run --profile l", 26)
    assert found == ["lab"]
