"""All of it again as root of a user namespace, as an ordinary user's engine is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Says that it is in its namespace, and goes on when its ids are mapped.
WAIT = 'echo ready; read _; exec "$@"'


@pytest.mark.needs("root", "user_namespaces")
def test_layers_hold_in_a_user_namespace(tmp_path: Path) -> None:
    assert os.getuid() == 0
    tests = [HERE / name for name in ("test_untar.py", "test_untar_attacks.py", "test_diff.py")]
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, tests)]
    with subprocess.Popen(
        ["unshare", "--user", "--mount", "sh", "-c", WAIT, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=HERE.parent.parent,
    ) as inside:
        assert inside.stdin is not None
        assert inside.stdout is not None
        assert inside.stdout.readline() == "ready\n"
        for kind in ("uid_map", "gid_map"):
            # The same ids, but few of them: this machine's root has no power over this namespace's.
            Path(f"/proc/{inside.pid}/{kind}").write_text("0 0 65536")
        inside.stdin.write("\n")
        inside.stdin.close()
        output = inside.stdout.read()
    assert inside.returncode == 0, output
    assert "skipped" not in output
