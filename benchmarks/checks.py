"""The container that is measured has all that it is claimed to have."""

import os
import re
from pathlib import Path

from support.hosts import Host
from world import World

MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")
LOOK = "grep -E '^(Seccomp|CapEff):' /proc/self/status; cat /proc/self/mountinfo"


def confined(world: World) -> str:
    """Assert what the measured containers of every engine have, and return it in words."""
    for name, host in world.hosts.items():
        said = host.succeed("run", "--rm", "--network", "none", world.busybox, "sh", "-c", LOOK)
        assert re.search(r"^Seccomp:\s+2$", said, re.MULTILINE), f"{name} has no seccomp filter"
        assert "00000000a80425fb" in said, f"{name} has other capabilities"
        for path in filter(os.path.exists, MASKED):  # not every kernel has them all
            assert f" {path} " in said, f"{name} does not mask {path}"
        assert _in_cgroups(host, world.busybox), f"{name} has no cgroup of its own"
    return "Every container measured was in cgroups of its own, with `Seccomp: 2` and its masks."


def _in_cgroups(host: Host, image: str) -> bool:
    container = host.client.containers.run(image, ["sleep", "60"], network_mode="none", detach=True)
    try:
        container.reload()
        lines = Path(f"/proc/{container.attrs['State']['Pid']}/cgroup").read_text().splitlines()
    finally:
        container.remove(force=True)
    held = {line.split(":")[1]: line.split(":")[2] for line in lines}
    wanted = [name for name in ("memory", "pids", "cpu") if name in held] or [""]
    return all(held[name].count("/") >= 2 for name in wanted)
