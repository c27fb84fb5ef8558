"""What a container asks of disks, in the runtime spec's words: weights, and rates of devices."""

import os
import stat
from typing import Any

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.records import HostConfig, api_name

# Fields of HostConfig, with what the runtime spec calls them.
_RATES = {
    "blkio_device_read_bps": "throttleReadBpsDevice",
    "blkio_device_write_bps": "throttleWriteBpsDevice",
    "blkio_device_read_iops": "throttleReadIOPSDevice",
    "blkio_device_write_iops": "throttleWriteIOPSDevice",
}
_LEAST, _MOST = 10, 1000


def block_io(host: HostConfig) -> dict[str, Any]:
    """Return the runtime spec's `blockIO`; InvalidParameter for what is no disk or no rate."""
    found: dict[str, Any] = {"weight": _weight(host.blkio_weight)}
    found["weightDevice"] = [
        {**_number(entry, "blkio_weight_device"), "weight": _weight(entry.get("Weight", 0))}
        for entry in host.blkio_weight_device or ()
    ]
    for field, name in _RATES.items():
        entries = getattr(host, field) or ()
        found[name] = [{**_number(entry, field), "rate": _rate(entry, field)} for entry in entries]
    return {name: value for name, value in found.items() if value}


def _weight(weight: int) -> int:
    if weight and not _LEAST <= weight <= _MOST:
        raise InvalidParameter("Range of blkio weight is from 10 to 1000")
    return weight


def _number(entry: dict[str, Any], field: str) -> dict[str, int]:
    """Return the major and minor number of the device that an entry names."""
    path = entry.get("Path") or ""
    if not isinstance(path, str):  # a number would be a descriptor of the engine
        raise InvalidParameter(f"HostConfig.{api_name(field)} {path!r} is no path: name a disk")
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise InvalidParameter(f"HostConfig.{api_name(field)} {path!r}: {error}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidParameter(
            f"HostConfig.{api_name(field)} {path!r} is no block device: name a disk, see `lsblk`"
        )
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}


def _rate(entry: dict[str, Any], field: str) -> int:
    rate = entry.get("Rate")
    if not isinstance(rate, int) or rate <= 0:
        raise InvalidParameter(
            f"HostConfig.{api_name(field)} has the rate {rate!r}: a whole number above 0 is wanted"
        )
    return rate
