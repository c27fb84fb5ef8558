"""Folders of the data root that no other user of the machine may enter, wherever it lies."""

from pathlib import Path

MODE = 0o700


def make_private(folder: Path, mode: int = MODE) -> None:
    """Make a folder, or close one that is there to others.

    The data root may be in anybody's sight. Images and containers hold programs that are root's for
    whoever finds them, and files of every secrecy.
    """
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o007:
        folder.chmod(mode)
