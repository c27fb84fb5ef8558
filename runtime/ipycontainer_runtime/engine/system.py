"""What this engine is: its versions, and what `info` tells."""

import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ipycontainer_runtime import __version__
from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.registries import described as described_registries
from ipycontainer_runtime.engine.runtimes import OWN, described
from ipycontainer_runtime.linux.mounted import filesystem
from ipycontainer_runtime.paths import Paths

API_VERSION = "1.50"
MIN_API_VERSION = "1.24"
EXTENSIONS = (
    "build",
    "capture",
    "checkpoints",
    "doctor",
    "faults",
    "input",
    "keep",
    "layers",
    "stop",
    "timeline",
)

_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Counts(NamedTuple):
    """How many of each the engine holds."""

    running: int = 0
    paused: int = 0
    stopped: int = 0
    images: int = 0


class System:
    """Answers /version and /info; the callables are asked each time."""

    def __init__(
        self,
        *,
        paths: Paths,
        activity: Activity,
        count: Callable[[], Counts],
        subscribers: Callable[[], int],
        rootless: bool,
        driver: str = "overlay2",
    ) -> None:
        self._paths = paths
        self._activity = activity
        self._count = count
        self._subscribers = subscribers
        self._rootless = rootless
        self._driver = driver
        self._started = time.time()
        self._machine: dict[str, Any] | None = None

    def version(self) -> dict[str, Any]:
        """Return the reply of GET /version."""
        uname, built = os.uname(), _built()
        common = {
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "GitCommit": f"v{__version__}",
            "GoVersion": f"none (Python {platform.python_version()})",
            "Os": "linux",
            "Arch": architecture(),
            "KernelVersion": uname.release,
        }
        component = {
            "Name": "Engine",
            "Version": __version__,
            "Details": {**common, "BuildTime": built, "Experimental": "false"},
        }
        return {
            "Platform": {"Name": "ipycontainer"},
            "Components": [component],
            "Version": __version__,
            **common,
            "BuildTime": built,
        }

    def extensions(self) -> dict[str, Any]:
        """Return the reply of GET /ipycontainer."""
        return {
            "Extensions": list(EXTENSIONS),
            "Version": __version__,
            "Pid": os.getpid(),
            "Rootless": self._rootless,
            "Root": str(self._paths.root),
            "Socket": str(self._paths.socket),
            "Log": str(self._paths.log),
            "StartedAt": self._started,
            "Keep": self._activity.keep,
        }

    async def info(self) -> dict[str, Any]:
        """Return the reply of GET /info."""
        if self._machine is None:
            self._machine = await self._about_the_machine()
        count = self._count()
        registries, warnings = described_registries()
        return {
            **self._machine,
            "RegistryConfig": registries,
            "Warnings": [*self._machine["Warnings"], *warnings],
            "Containers": count.running + count.paused + count.stopped,
            "ContainersRunning": count.running,
            "ContainersPaused": count.paused,
            "ContainersStopped": count.stopped,
            "Images": count.images,
            "NFd": len(os.listdir("/proc/self/fd")),
            "NGoroutines": threading.active_count(),
            "NEventsListener": self._subscribers(),
            "SystemTime": _rfc3339(time.time_ns()),
        }

    async def _about_the_machine(self) -> dict[str, Any]:
        """Return what does not change while the engine lives."""
        from ipycontainer_runtime.engine import machine

        limits, warnings = machine.limits()
        return {
            "ID": self._identity(),
            **self._storage(),
            **machine.describe(),
            **limits,
            "Warnings": warnings,
            "SecurityOptions": self._security(),
            **_CONSTANT,
            "Runtimes": described(rootless=self._rootless),
            "DockerRootDir": str(self._paths.root),
            "ServerVersion": __version__,
            "Debug": False,
        }

    def _identity(self) -> str:
        """Return an id of this data root on this machine, in the form of a UUID."""
        try:
            with open("/etc/machine-id", encoding="ascii") as file:
                machine_id = file.read().strip()
        except OSError:
            machine_id = os.uname().nodename
        digest = hashlib.sha256(f"{machine_id}:{self._paths.root}".encode()).hexdigest()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))

    def _storage(self) -> dict[str, Any]:
        return {
            "Driver": self._driver,
            "DriverStatus": [
                ["Backing Filesystem", filesystem(str(self._paths.root))],
                ["Supports d_type", "true"],
                ["Native Overlay Diff", "true"],
                ["userxattr", str(self._rootless).lower()],
            ],
        }

    def _security(self) -> list[str]:
        options = ["name=seccomp,profile=builtin"]
        if self._rootless:
            options.append("name=rootless")
        return [*options, "name=cgroupns"]


_NO_COMMIT = {"ID": "", "Expected": ""}

_CONSTANT: dict[str, Any] = {
    "SystemStatus": None,
    "Plugins": {
        "Volume": ["local"],
        "Network": ["bridge", "host", "null"],
        "Authorization": None,
        "Log": ["json-file", "local", "none"],
    },
    "LoggingDriver": "json-file",
    "IndexServerAddress": "https://index.docker.io/v1/",
    "GenericResources": None,
    "HttpProxy": "",
    "HttpsProxy": "",
    "NoProxy": "",
    "Labels": [],
    "ExperimentalBuild": False,
    "DefaultRuntime": OWN,
    "Swarm": {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    },
    "LiveRestoreEnabled": True,
    "Isolation": "",
    "InitBinary": "ipycontainer",
    "ContainerdCommit": _NO_COMMIT,
    "RuncCommit": _NO_COMMIT,
    "InitCommit": _NO_COMMIT,
    "CDISpecDirs": [],
    "DefaultAddressPools": [],
}


def architecture() -> str:
    """Return this machine's architecture in Go's words, which images use."""
    machine = os.uname().machine
    return _GO_ARCHITECTURES.get(machine, machine)


def _built() -> str:
    """Return when this was put on the machine: nothing here is compiled."""
    return _rfc3339(os.stat(__file__).st_mtime_ns)


def _rfc3339(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"
