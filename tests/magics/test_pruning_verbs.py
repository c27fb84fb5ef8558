"""`system df` and the prunes: what is there, the question, and what goes."""

import io
import subprocess
from collections.abc import Callable

import pytest
from cells import Box, Kernel, Shell, errors
from docker.errors import BuildError

from ipycontainer.failures import Usage

MINE = "--filter label=mine"


def labelled(box: Box, name: str) -> None:
    labels = {"mine": "1"}
    box.client.api.create_container("busybox", "true", name=name, labels=labels)


def test_a_prune_without_an_answer_asks_for_the_flag(box: Box, shell: Shell) -> None:
    labelled(box, "kept")
    ran = shell.run(f"%container container prune {MINE}")
    assert isinstance(ran.error, Usage)
    assert "This will remove all stopped containers. Add -f" in str(ran.error)
    assert box.exists("kept")


def test_a_kernel_that_cannot_ask_says_so(box: Box, kernel: Kernel) -> None:
    [told] = errors(kernel.run(f"%container system prune {MINE}"))
    assert "Add -f: nobody can be asked here" in told["evalue"]


def test_containers_are_pruned(box: Box, shell: Shell) -> None:
    labelled(box, "gone")
    ran = shell.run(f"%container container prune -f {MINE}")
    assert ran.out.startswith("Deleted Containers:\n")
    assert ran.out.endswith("\nTotal reclaimed space: 0B\n")
    assert not box.exists("gone")


def test_everything_is_pruned_at_once(box: Box, shell: Shell) -> None:
    labelled(box, "gone")
    box.client.api.commit("gone", changes=["LABEL mine=1"])
    found = {"label": "mine"}
    assert box.client.api.images(filters=found)
    ran = shell.run(f"%container system prune -f --volumes {MINE}")
    assert "Deleted Containers:" in ran.out
    assert "\ndeleted: sha256:" in ran.out
    assert not box.client.api.images(filters=found)
    assert shell.run(f"%container image prune -af {MINE}").out == "Total reclaimed space: 0B\n"


def test_the_cache_of_builds_is_pruned_alone_and_with_everything(box: Box, shell: Shell) -> None:
    asked = shell.run("%container builder prune")
    assert "This will remove all dangling build cache. Add -f" in str(asked.error)

    def fail() -> None:
        text = b"FROM busybox\nRUN echo > /f\nRUN exit 1\n"
        with pytest.raises(BuildError):
            box.client.images.build(fileobj=io.BytesIO(text), rm=True)

    for verb in ("builder prune -f", "system prune -f --filter until=0s"):
        fail()
        cached = bool(box.client.api.df()["BuildCache"])
        assert cached or box.name == "dockerd"  # whose classic builder has its cache in images
        ran = shell.run(f"%container {verb}")
        assert ran.error is None
        assert ("Deleted build cache objects:\n" in ran.out) == cached
        assert not box.client.api.df()["BuildCache"]


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", True), (b"y\n", False)])
def test_the_answer_decides(
    box: Box,
    command: Callable[..., subprocess.CompletedProcess[bytes]],
    answer: bytes,
    left: bool,
) -> None:
    labelled(box, "asked")
    done = command("container", "prune", *MINE.split(), stdin=answer)
    assert done.stdout.startswith(b"WARNING! This will remove all stopped containers.\n")
    assert box.exists("asked") == left


def test_the_disk_usage_is_a_table(box: Box, shell: Shell) -> None:
    labelled(box, "one")
    ran = shell.run("%container system df")
    [shown] = ran.displayed
    assert shown.splitlines()[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [row["Type"] for row in ran.value] == [
        *("Images", "Containers", "Local Volumes", "Build Cache")
    ]
    assert ran.value[1]["TotalCount"] == "1"
    images, containers, _ = shell.run("%container system df -v").value
    # Other tests may have left images here; a container has one alone.
    assert [row["Containers"] for row in images].count("1") == 1
    assert [row["Names"] for row in containers] == ["one"]
