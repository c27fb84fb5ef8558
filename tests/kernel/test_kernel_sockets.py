"""Where a kernel's sockets are: a small file system of its container's own."""

from __future__ import annotations

import errno
import os
import socket

import pytest
from kernelroom import Room, running

from ipycontainer_kernel.folders import INSIDE

pytestmark = pytest.mark.ordinary_user

FILL = """\
import os
written = made = 0
try:
    with open("/run/ipycontainer-kernel/large", "wb", buffering=0) as file:
        while written < 1 << 20:
            written += file.write(b"x" * 4096)
except OSError as error:
    print(error.strerror)
try:
    while made < 1000:
        os.mkdir(f"/run/ipycontainer-kernel/{made}")
        made += 1
except OSError as error:
    print(error.strerror)
print(written <= 1 << 16, made < 64)
"""
LINK = """\
import os
os.remove("{place}")
os.symlink("{target}", "{place}")
"""
FULL = "No space left on device\n"


def test_what_a_kernel_writes_beside_its_sockets_is_bounded(room: Room) -> None:
    with running(room.install("filling")) as kernel:
        assert kernel.run(FILL) == ("ok", f"{FULL}{FULL}True True\n")
        (folder,) = room.folders.iterdir()
        assert sorted(path.name for path in folder.iterdir()) == [
            "connection.json",
            "control",
            "lock",
            "s",
        ]
        kernel.manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(timeout=60)
        assert kernel.run("import os; len(os.listdir('/run/ipycontainer-kernel'))") == ("ok", "6")


def test_links_of_an_image_lead_nowhere_on_this_machine(room: Room) -> None:
    api = room.host.client.api
    script = "rm -rf /run && mkdir /linked && ln -s /linked /run"
    made = api.create_container(room.image, ["sh", "-c", script])["Id"]
    api.start(made)
    assert api.wait(made)["StatusCode"] == 0
    image = api.commit(made, pause=False)["Id"]
    api.remove_container(made)
    with running(room.install("linked", image=image)) as kernel:
        assert kernel.run("import os; os.path.realpath('/run/ipycontainer-kernel')") == (
            "ok",
            "'/linked/ipycontainer-kernel'",
        )
    api.remove_image(image, force=True)


def test_a_link_in_a_socket_s_place_is_not_followed_on_this_machine(room: Room) -> None:
    with (
        running(room.install("linking")) as kernel,
        socket.socket(socket.AF_UNIX) as elsewhere,
        socket.socket(socket.AF_UNIX) as client,
    ):
        (folder,) = room.folders.iterdir()
        reached = folder / "s" / "k-1"
        private = folder / "private"
        elsewhere.bind(str(private))
        elsewhere.listen()
        assert kernel.run(LINK.format(place=f"{INSIDE}/k-1", target=private)) == ("ok", "")
        assert reached.readlink() == private
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            client.connect(str(reached))
