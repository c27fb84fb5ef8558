"""`--mount type=image`: an image, or a folder or file of it, shown read-only in a container.

Its layers are mounted once more, as an overlay that nobody writes to: nothing is copied. The layers
are part of the container's record, so that they stay for as long as it does.
"""

import os
import stat
from collections.abc import Sequence
from typing import Any

from ipycontainer_runtime.errors import InvalidParameter, NotFound, NotImplementedHere
from ipycontainer_runtime.layers.merged import Shown, look_up
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.oci.runtime import Mount, OverlayOptions
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore
from ipycontainer_runtime.store.records import HostConfig, MountPoint


class ImageMounts:
    """Finds what image mounts show."""

    def __init__(
        self, *, images: ImageStore, layers: LayerStore, ownership: Ownership, overlay: bool
    ) -> None:
        """`overlay` says whether this engine can mount overlays."""
        self._images = images
        self._layers = layers
        self._prefix = ownership.overlay_prefix
        self._overlay = overlay

    def settle(self, point: MountPoint) -> None:
        """Say at a container's creation which image, and which of its layers, the name means.

        Raises InvalidParameter, and NotImplementedHere where no overlay can be mounted.
        """
        if not self._overlay:
            raise NotImplementedHere(
                'HostConfig.Mounts of type "image" needs overlay mounts, which this engine cannot '
                "make (`ipycontainer doctor` tells why): copy the files into a volume"
            )
        try:
            image = self._images.resolve(point.source)
        except NotFound as error:  # by which a client would take the container's for missing
            raise InvalidParameter(f"{error}: pull it first, to mount it") from error
        point.source, point.chain = image.id, list(image.chain_ids)

    def mount(self, point: MountPoint, *, mapped: bool) -> Mount:
        """Return the mount of a point that was settled. Raises InvalidParameter."""
        try:
            return self._mount(point, mapped=mapped)
        except OSError as error:  # of a name that no file can have
            raise InvalidParameter(
                f"failed to mount the subpath {point.subpath[:60]}… of the image {point.source}: "
                f"{error.strerror}"
            ) from error

    def _mount(self, point: MountPoint, *, mapped: bool) -> Mount:
        folders: Sequence[bytes] = [
            os.fsencode(self._layers.diff(chain_id)) for chain_id in reversed(point.chain)
        ]
        above, _, leaf = point.subpath.rpartition("/")
        for name in filter(None, above.split("/")):
            folders = look_up(folders, os.fsencode(name), self._prefix).folders
        if leaf:
            shown = look_up(folders, os.fsencode(leaf), self._prefix)
            if shown.status is None or not stat.S_ISDIR(shown.status.st_mode):
                return _file(point, shown, mapped=mapped)
            folders = shown.folders
        # Without a folder to write in an overlay wants two; marks of deletion are hidden by both.
        empty = self._layers.init().with_name("empty")
        empty.mkdir(exist_ok=True)
        if not folders:  # of an image that has no files
            return Mount("bind", str(empty), point.destination, _shown(mapped=mapped))
        options = OverlayOptions(
            lowerdir=(*map(os.fsdecode, folders), str(empty)),
            userxattr=self._prefix == b"user.",
        )
        return Mount("overlay", "overlay", point.destination, options)


def _file(point: MountPoint, shown: Shown, *, mapped: bool) -> Mount:
    if shown.status is None or not stat.S_ISREG(shown.status.st_mode):
        what = "is not there" if shown.status is None else "is neither a folder nor a file"
        raise InvalidParameter(
            f"failed to mount the subpath {point.subpath} of the image {point.source}: it {what}; "
            "links are not followed"
        )
    return Mount("bind", os.fsdecode(shown.path), point.destination, _shown(mapped=mapped))


def _shown(*, mapped: bool) -> tuple[str, ...]:
    """Return the options of a part of an image that is bound."""
    return ("bind", "rprivate", "rro", *(("idmap",) if mapped else ()))


def wants_image(host: HostConfig) -> bool:
    """Tell whether a container is to have an image mounted."""
    mounts: Sequence[Any] = host.mounts or ()
    return any(isinstance(mount, dict) and mount.get("Type") == "image" for mount in mounts)
