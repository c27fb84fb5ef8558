"""What a kernel runs on the host is not what lies in its notebook's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernelroom import Room, running

pytestmark = pytest.mark.ordinary_user


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A stranger's folder, whose modules say that they were imported."""
    text = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__name__)\nraise ImportError(__name__)\n"
    for name in ("argparse", "docker", "ipycontainer", "ipycontainer_kernel", "ipykernel"):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "cell"), [("python", "1"), ("shell", "echo 1"), ("dockerfile", "FROM scratch")]
)
def test_modules_of_the_notebooks_folder_are_not_imported_on_the_host(
    room: Room, trap: Path, kind: str, cell: str
) -> None:
    name = room.install(f"trapped-{kind}", kind=kind, notebook="none")
    with running(name, argv=kind == "python", cwd=str(trap)) as kernel:
        kernel.run(cell)
    assert not (trap / "sprung").exists()
