"""Where this project's files are, as its version control knows them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("runtime/ipycontainer_runtime", "magics/ipycontainer", "kernel/ipycontainer_kernel")


def tracked(*suffixes: str) -> Iterator[Path]:
    """Yield the files that a commit of everything here would hold, with one of these suffixes."""
    command = ["git", "-C", str(CHECKOUT), "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"]
    listed = subprocess.run(
        [*command, "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
    )
    if listed.returncode == 0:
        names = (Path(name) for name in listed.stdout.decode().split("\0") if name)
    else:  # an unpacked archive
        names = (path.relative_to(CHECKOUT) for path in CHECKOUT.rglob("*") if path.is_file())
        names = (name for name in names if not name.parts[0].startswith((".", "dist", "build")))
    for name in names:
        if name.name.endswith(suffixes) and (CHECKOUT / name).exists():
            yield name
