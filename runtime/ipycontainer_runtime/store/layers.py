"""Unpacked layers by chain id: each a folder that an overlay can stand on."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

import msgspec

from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.oci import digest as digests
from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.private import make_private
from ipycontainer_runtime.store.spread import spread
from ipycontainer_runtime.store.trash import Trash

INIT, INIT_OF_ONE_ID = "init", "init-one-id"
# Laid over every image, so that the launcher has something to mount on. As Docker's init layer.
_INIT_FOLDERS = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_INIT_FILES = (".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf")


class LayerInfo(msgspec.Struct, frozen=True):
    """What `layer.json` says: the layer's own digest and the bytes of its files."""

    diff_id: str
    size: int
    implicit: tuple[str, ...] = ()
    """Folders that the archive did not name, so took mode and owner from the layers below."""
    boot: str = ""
    """The boot during which it was unpacked, until its files are known to be on the disk."""


class LayerStore:
    """The layers under the data root `root`. A layer that is present is whole.

    `added` is called, on the adding thread, for each new layer: `settle` is then due some time.
    `one_id` says that containers have a single id, for which apt needs a word in the layer `init`.
    """

    def __init__(
        self, root: Path, added: Callable[[], None] = lambda: None, *, one_id: bool = False
    ) -> None:
        self._added = added
        self._init = INIT_OF_ONE_ID if one_id else INIT
        self.folder = root / "layers"
        self.trash = Trash(root)
        make_private(self.folder)
        spread(self.folder)
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._known: dict[str, LayerInfo] = {}
        # Left by an engine that was killed; the data root's lock says that nobody writes them now.
        for left in self.folder.glob(".staging-*"):
            self.trash.discard(left)

    def has(self, chain_id: str) -> bool:
        """Tell whether a layer is unpacked, and so whole."""
        return self._info(chain_id) is not None

    def info(self, chain_id: str) -> LayerInfo:
        """Return what is known of a layer; NotFound when it is not unpacked."""
        info = self._info(chain_id)
        if info is None:
            raise NotFound(f"the layer {chain_id} is not unpacked: pull its image again")
        return info

    def diff(self, chain_id: str) -> Path:
        """Return a layer's folder, an overlay's lower; NotFound when it is not unpacked."""
        self.info(chain_id)
        return self._path(chain_id) / "diff"

    def size(self, chain_id: str) -> int:
        """Return the bytes of a layer's files."""
        return self.info(chain_id).size

    def total(self, chain_ids: Iterable[str]) -> int:
        """Return the bytes of an image's files, which Docker calls its size; missing ones are 0."""
        return sum(info.size for c in chain_ids if (info := self._info(c)) is not None)

    def all(self) -> list[str]:
        """Return the chain id of every layer."""
        return [
            chain_id
            for entry in self.folder.iterdir()
            if digests.is_digest(chain_id := f"sha256:{entry.name}")
        ]

    def staging(self) -> "Staging":
        """Return an empty folder in which to unpack a layer; its chain id may not be known yet."""
        return Staging(self)

    def remove(self, chain_id: str) -> None:
        """Forget a layer at once, and move its files to the trash; absent is success."""
        self._known.pop(chain_id, None)
        self.trash.discard(self._path(chain_id))

    def settle(self) -> None:
        """Make every layer survive a power cut.

        Syncing ten thousand files one by one would take longer than unpacking them. So a fresh
        layer names its boot: if another boot finds it still so, it is unpacked again from its
        blob. This syncs them all at once and says so; it is called on a thread when there is time.
        """
        fresh = [c for c in self.all() if (info := self._info(c)) is not None and info.boot]
        if not fresh:
            return
        _sync_file_system(self.folder)
        for chain_id in fresh:
            info = self._info(chain_id)
            if info is not None:
                self._say_settled(chain_id, msgspec.structs.replace(info, boot=""))

    def _say_settled(self, chain_id: str, info: LayerInfo) -> None:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            atomic.write(self._path(chain_id) / "layer.json", msgspec.json.encode(info))
            self._known[chain_id] = info

    def init(self) -> Path:
        """Return the layer of mount points, made on first use."""
        folder = self.folder / self._init
        if not folder.exists():
            temporary = self.folder / f".staging-init-{secrets.token_hex(4)}"
            _make_init(temporary / "diff")
            if self._init == INIT_OF_ONE_ID:
                _spare_apt(temporary / "diff")
            with contextlib.suppress(FileExistsError):
                temporary.rename(folder)
        return folder / "diff"

    def _path(self, chain_id: str) -> Path:
        return self.folder / digests.hex_of(digests.validate(chain_id))

    def _info(self, chain_id: str) -> LayerInfo | None:
        info = self._known.get(chain_id)
        if info is None:
            try:
                content = (self._path(chain_id) / "layer.json").read_bytes()
            except FileNotFoundError:
                return None
            try:
                info = msgspec.json.decode(content, type=LayerInfo)
            except msgspec.MsgspecError:
                return None
            if info.boot not in ("", self._boot):
                return None
            self._known[chain_id] = info
        return info

    def _adopt(self, staging: Path, chain_id: str, info: LayerInfo) -> None:
        info = msgspec.structs.replace(info, boot=self._boot)
        atomic.write(staging / "layer.json", msgspec.json.encode(info), durable=False)
        target = self._path(chain_id)
        if not self.has(chain_id):
            # Whatever is in the way was cut short by a crash of the machine.
            self.trash.discard(target)
            staging.rename(target)
            self._known[chain_id] = info
            self._added()


class Staging:
    """A layer being unpacked into `diff`; discarded at the end unless committed."""

    def __init__(self, store: LayerStore) -> None:
        self._store = store
        self._folder = store.folder / f".staging-{secrets.token_hex(8)}"
        self.diff = self._folder / "diff"
        self.trash = store.trash
        self.diff.mkdir(parents=True)
        self.diff.chmod(0o755)

    def commit(self, chain_id: str, info: LayerInfo) -> Path:
        """Name the layer, at once and whole; that it is there already is success."""
        self._store._adopt(self._folder, chain_id, info)
        return self._store.diff(chain_id)

    def close(self) -> None:
        """Discard what was not committed."""
        self._store.trash.discard(self._folder)

    def __enter__(self) -> "Staging":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _make_init(diff: Path) -> None:
    diff.mkdir(parents=True)
    for name in _INIT_FOLDERS:
        (diff / name).mkdir()
        (diff / name).chmod(0o755)
    for name in _INIT_FILES:
        (diff / name).touch()
        (diff / name).chmod(0o755 if name == ".dockerenv" or name == "dev/console" else 0o644)
    (diff / "etc/mtab").symlink_to("/proc/mounts")


def _spare_apt(diff: Path) -> None:
    """Tell apt not to become another user for its downloads: it makes sure that it did."""
    folder = diff / "etc/apt/apt.conf.d"
    folder.mkdir(parents=True)
    for made in (folder, folder.parent):
        made.chmod(0o755)
    (folder / "00ipycontainer").write_text(
        '// There is one user id in this container.\nAPT::Sandbox::User "root";\n'
    )
    (folder / "00ipycontainer").chmod(0o644)


def _sync_file_system(folder: Path) -> None:
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Python has no syncfs(2); os.sync would wait for every disk of the machine.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)
