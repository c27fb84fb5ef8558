"""How a process of a bundle is born: by a helper, which may be slower than what it clones."""

import os
import socket
from typing import NoReturn

from ipycontainer_runtime.ociruntime.birth import born, waited

BIRTHS = 60


def test_what_the_new_process_says_first_is_not_taken_for_its_helpers_word() -> None:
    # Without a way of its own for the helper some of these fail, on two processors.
    def body(status: socket.socket) -> NoReturn:
        status.send(b'{"ready": true}')
        os._exit(3)

    for _ in range(BIRTHS):
        birth = born(lambda: None, 0, body)
        birth.follow({})
        birth.status.close()
        assert waited(birth.pid) == 3
