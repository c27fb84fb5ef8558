"""The OCI runtime for an ordinary user, who has one id and no cgroup to give."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from ociroom import fill, write_command

pytestmark = [pytest.mark.needs("busybox", "user_namespaces"), pytest.mark.ordinary_user]


def test_a_bundle_runs_in_a_user_namespace_of_its_own() -> None:
    if os.getuid() == 0:
        pytest.skip("for an ordinary user: root's are in test_oci_operations.py")
    folder = Path(tempfile.mkdtemp(prefix="ipyc-o", dir="/tmp"))
    try:
        command = write_command(folder)
        fill(folder / "b/rootfs", by_root=False)
        call = [command, "--root", folder / "state"]
        subprocess.run([*call, "spec", "--rootless", "-b", folder / "b"], check=True)
        path = folder / "b/config.json"
        spec = json.loads(path.read_text())
        script = "id -u; cat /proc/self/uid_map; head -c 1 /dev/zero | cat -v; echo $$; exit 3"
        spec["process"].update(terminal=False, args=["sh", "-c", script])
        path.write_text(json.dumps(spec))
        run = [*call, "run", "-b", folder / "b", "one"]
        done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3, done.stderr
        assert done.stdout.split() == ["0", "0", str(os.getuid()), "1", "^@1"]
        assert os.listdir(folder / "state") == []
    finally:
        shutil.rmtree(folder)
