"""What launches containers is out of their reach."""

import os
from pathlib import Path

import pytest

from support.engines import Engine

pytestmark = pytest.mark.needs("root")


def test_the_launcher_s_interpreter_is_on_a_read_only_mount(shared_engine: Engine) -> None:
    # `#!/proc/self/exe` leads a container to it [CVE-2019-5736]. Off without sealed() in client.py.
    shared_engine.client.ping()
    children = Path(f"/proc/{shared_engine.pid}/task/{shared_engine.pid}/children")
    spawners = [f"/proc/{pid}" for pid in children.read_text().split()]
    assert spawners
    for spawner in spawners:
        assert b"spawner.py" in Path(spawner, "cmdline").read_bytes()
        fd = os.open(f"{spawner}/exe", os.O_RDONLY)
        try:
            assert os.fstatvfs(fd).f_flag & os.ST_RDONLY
        finally:
            os.close(fd)
        assert len(os.listdir(f"{spawner}/fd")) <= 6  # 0, 1, 2, the engine's and the parked shim's
