"""The records of containers on disk, and the names that lead to them.

A container's folder is `containers/<id>/`; it exists once `config.json` is in it. The engine is
the only writer, so the index is read once and then kept in memory. Records are renamed into place
but not synced: after a power cut a container may be back in its last state but one, which the
next engine corrects, and a start must not wait for a disk.
"""

import logging
import os
from pathlib import Path

import msgspec

from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotFound
from ipycontainer_runtime.store.private import make_private
from ipycontainer_runtime.store.records import ExitRecord, Record, State
from ipycontainer_runtime.store.spread import spread
from ipycontainer_runtime.store.trash import Trash

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(Record).decode
_decode_state = msgspec.json.Decoder(State).decode
_decode_exit = msgspec.json.Decoder(ExitRecord).decode


class ContainerStore:
    """Container records under the data root; names are unique, ids may be shortened."""

    def __init__(self, root: Path, trash: Trash) -> None:
        self.folder = root / "containers"
        self.trash = trash
        make_private(self.folder, 0o710)
        spread(self.folder)
        self._records: dict[str, Record] = {}
        self._names: dict[str, str] = {}
        for record in self._stored():
            self._records[record.id] = record
            self._names[record.name] = record.id

    def _stored(self) -> list[Record]:
        """Read every record; a folder without a whole one is a creation that was cut short."""
        records = []
        for entry in os.scandir(self.folder):
            try:
                with open(f"{entry.path}/config.json", "rb") as file:
                    records.append(_decode_record(file.read()))
            except msgspec.ValidationError as error:
                _log.warning("%s: not a record that this version reads: %s", entry.path, error)
            except (FileNotFoundError, msgspec.DecodeError):
                self.discard(entry.name)
        return sorted(records, key=lambda record: record.created_ns)

    def path(self, container_id: str) -> str:
        """Return the container's folder."""
        return f"{self.folder}/{container_id}"

    def records(self) -> list[Record]:
        """Return all records, oldest first."""
        return list(self._records.values())

    def find(self, reference: str) -> Record:
        """Return the record that a full id, a name (with or without `/`) or an id's prefix names.

        Raises NotFound in Docker's words, InvalidParameter when a prefix fits several.
        """
        if record := self._records.get(reference):
            return record
        if container_id := self._names.get(reference.removeprefix("/")):
            return self._records[container_id]
        fits = [i for i in self._records if i.startswith(reference)] if reference else []
        if len(fits) > 1:
            raise InvalidParameter(f"multiple IDs found with provided prefix: {reference}")
        if not fits:
            raise NotFound(f"No such container: {reference}")
        return self._records[fits[0]]

    def claim(self, name: str) -> None:
        """Refuse a name that is taken, with Docker's message."""
        if owner := self._names.get(name):
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{owner}". You have to remove (or rename) that container to be able to '
                "reuse that name."
            )

    def has_name(self, name: str) -> bool:
        """Tell whether a container is called this."""
        return name in self._names

    def create(self, record: Record) -> str:
        """Make the container's folder with its record in it and return the folder."""
        self.claim(record.name)
        folder = self.path(record.id)
        self._names[record.name] = record.id
        self._records[record.id] = record
        os.mkdir(folder, 0o710)
        # Nobody has seen the container yet, so there is nothing that a torn file would replace.
        _put(f"{folder}/config.json", _encode(record))
        return folder

    def rename(self, record: Record, name: str) -> None:
        """Give the container another name."""
        self.claim(name)
        del self._names[record.name]
        record.name = name
        self._names[name] = record.id
        self.save(record)

    def save(self, record: Record) -> None:
        """Write a record that has changed."""
        self._write(self.path(record.id), "config.json", _encode(record))

    def state(self, container_id: str) -> State:
        """Read the container's last written state."""
        try:
            with open(f"{self.path(container_id)}/state.json", "rb") as file:
                return _decode_state(file.read())
        except (FileNotFoundError, msgspec.DecodeError):  # a power cut can leave it empty
            return State()

    def save_state(self, container_id: str, state: State) -> None:
        """Write the container's state."""
        self._write(self.path(container_id), "state.json", _encode(state))

    def timeline(self, container_id: str) -> bytes:
        """Read what was kept of the container's moments; empty for nothing."""
        try:
            with open(f"{self.path(container_id)}/timeline.json", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def save_timeline(self, container_id: str, timeline: bytes) -> None:
        """Keep the container's moments."""
        self._write(self.path(container_id), "timeline.json", timeline)

    def exit_record(self, container_id: str) -> ExitRecord | None:
        """Read what the container's shim wrote of its exit, if it did."""
        try:
            with open(f"{self.path(container_id)}/exit.json", "rb") as file:
                return _decode_exit(file.read())
        except (FileNotFoundError, msgspec.DecodeError):  # a power cut can leave it empty
            return None

    def clear_exit(self, container_id: str) -> None:
        """Forget an earlier run's exit before the next start."""
        try:
            os.unlink(f"{self.path(container_id)}/exit.json")
        except FileNotFoundError:
            return

    def discard(self, container_id: str) -> None:
        """Take the container out of the index and its folder into the trash, by one rename."""
        if record := self._records.pop(container_id, None):
            del self._names[record.name]
        self.trash.discard(self.folder / container_id)

    @staticmethod
    def _write(folder: str, name: str, data: bytes) -> None:
        """Put a file in place whole; not synced, see the module's docstring."""
        temporary = f"{folder}/.{name}"
        _put(temporary, data)
        os.rename(temporary, f"{folder}/{name}")


def _put(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
