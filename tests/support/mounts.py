"""What tests of mounts say where no engine is at hand."""

from typing import NoReturn

from ipycontainer_runtime.store.records import MountPoint


def no_image(point: MountPoint) -> NoReturn:
    """Mount no image: none is asked for."""
    raise AssertionError(point)
