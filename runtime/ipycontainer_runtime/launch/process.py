"""The container's process: its terminal, its folder, its privileges, its command."""

import _signal  # type: ignore[import-not-found]  # asks without making enumerations, 64 times
import errno
import json
import os
import signal
import socket
import stat
from collections.abc import Sequence
from typing import Any, NoReturn

from ipycontainer_runtime.launch.root import DEVICES, LaunchError, Root
from ipycontainer_runtime.launch.syscalls import (
    CLONE_NEWUSER,
    CLONE_PARENT,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    capset,
    clone,
    prctl,
    set_seccomp_filter,
    setns,
)
from ipycontainer_runtime.launch.user import User

# include/uapi/linux/capability.h, in the order of its numbers.
CAPABILITIES = (  # noqa: SIM905 - forty-one names read better as text
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def take_terminal(console: tuple[int, int], status: int) -> None:
    """Send the pty's master through `status`, and make its other end the standard streams."""
    master, slave = console
    with socket.socket(fileno=os.dup(status)) as sock:
        socket.send_fds(sock, [b'{"console": true}'], [master])
    for fd in (0, 1, 2):
        os.dup2(slave, fd, inheritable=True)
    os.close(master)
    os.close(slave)


def fork_into_sight(status: int) -> None:
    """Return in a new process, a sibling in the pid namespace that was entered, and leave this one.

    The parent of both is told of it through `status` before it goes on.
    """
    waits, goes = os.pipe()
    pid = clone(CLONE_PARENT)
    if pid:
        os.write(status, json.dumps({"pid": pid}).encode())
        os.write(goes, b"x")
        os._exit(0)
    os.close(goes)
    if not os.read(waits, 1):
        os._exit(1)  # nobody was told: nobody would hear of its end
    os.close(waits)
    os.setsid()


def hung_up(status: int) -> bool:
    """Tell whether the other end of the status socket is closed; the kernel does so at an exit."""
    with socket.socket(fileno=os.dup(status)) as sock:
        try:
            return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False


def own_streams(user: User, first: int = 0) -> None:
    """Give the user its own standard streams, so that it can open /dev/stdout again.

    `first` is what 0 of its user namespace is in ours.
    """
    uid = first + user.uid
    for fd in (0, 1, 2):
        found = os.fstat(fd)
        if found.st_uid != uid and found.st_rdev != os.makedev(*DEVICES["/dev/null"]):
            try:
                os.fchown(fd, uid, found.st_gid)
            except OSError:
                continue  # a socket or a file of the host: it works as it is, only not by its name


def enter_users(namespace: int, user: User, count: int, keeps_groups: bool) -> None:
    """Enter the container's user namespace, by a descriptor of it or a pidfd, and be its root.

    Refuses a user that is none of its `count` ids.
    """
    groups = () if keeps_groups else user.groups
    if unknown := [number for number in (user.uid, user.gid, *groups) if number >= count]:
        raise LaunchError(
            f"user or group {unknown[0]} is outside the {count} ids of the container's user "
            "namespace: use a smaller one, or see `ipycontainer doctor` for how to get more ids"
        )
    setns(namespace, CLONE_NEWUSER)
    if not keeps_groups:
        os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def enter_folder(path: str, *, made: bool) -> None:
    """Go to the working directory without leaving the root; `made` where it is missing."""
    root = Root("/", terminal=False)
    root.fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.fchdir(root.target(path, folder=True) if made else root.open(path))
        os.getcwd()  # raises where the folder cannot be reached from our root
    except OSError as error:
        why = f"cannot enter the working directory {path}: {error.strerror}"
        raise LaunchError(why, 125 if made else 126) from error


def set_limits(process: dict[str, Any]) -> None:
    """Set resource limits and the out-of-memory adjustment, while we still may."""
    if limits := process.get("rlimits"):
        import resource

        for limit in limits:
            kind = getattr(resource, limit["type"])
            resource.setrlimit(kind, (limit["soft"], limit["hard"]))
    if adjustment := process.get("oomScoreAdj"):
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(adjustment))


def become(process: dict[str, Any], user: User, program: bytes | None, keeps_groups: bool) -> None:
    """Give up every privilege that the process is not to have, in the order the kernel allows."""
    capabilities = process.get("capabilities", {})
    _drop_bounding(_mask(capabilities.get("bounding", [])))
    no_new_privileges = process.get("noNewPrivileges", False)
    if program and not no_new_privileges:
        set_seccomp_filter(program)  # later it would need the capability that is about to go
    prctl(PR_SET_KEEPCAPS, 1)
    _set_ids(user, keeps_groups)
    prctl(PR_SET_KEEPCAPS, 0)
    ambient = _mask(capabilities.get("ambient", []))
    # Docker gives an ordinary user's process no capability; the bounding set stays for setuid ones.
    held = [_mask(capabilities.get(k, [])) for k in ("effective", "permitted")]
    effective, permitted = held if user.uid == 0 else (ambient, ambient)
    capset(effective, permitted, _mask(capabilities.get("inheritable", [])) | ambient)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(len(CAPABILITIES)):
        if ambient >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
    if no_new_privileges:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if program:
            set_seccomp_filter(program)


def _set_ids(user: User, keeps_groups: bool) -> None:
    try:
        if not keeps_groups:
            os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise LaunchError(
            f"the engine's user namespace has no ids for {user.uid}:{user.gid}: run it as root with"
            " `--user 0`, or see `ipycontainer doctor` for how to get more ids"
        ) from error


def _mask(names: Sequence[str]) -> int:
    return sum(1 << CAPABILITIES.index(name.removeprefix("CAP_")) for name in names)


def _drop_bounding(keep: int) -> None:
    for number in range(len(CAPABILITIES)):
        if not keep >> number & 1:
            try:
                prctl(PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return  # a capability that this kernel does not know, nor those after it
                raise


def execute(process: dict[str, Any], home: str) -> NoReturn:
    """Replace this process by the command, found in the container by the container's PATH."""
    environment = {"HOME": home}
    for item in process.get("env", []):
        key, equals, value = item.partition("=")
        if equals and key:
            environment[key] = value
    arguments = process["args"]
    command = find_command(arguments[0], environment.get("PATH", os.defpath))
    # What is ignored or blocked stays so across exec: SIGPIPE, which Python ignores, and whatever
    # was ignored where the engine was started (`nohup`), which no shell could trap then.
    for number in range(1, signal.NSIG):
        if _signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execve(command, arguments, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise LaunchError(f"exec {command}: {(error.strerror or '').lower()}", 126) from error


def find_command(name: str, path: str) -> str:
    """Find the command as execvp does; by these words the docker command tells 126 from 127."""
    if "/" not in name:
        for folder in path.split(":"):
            candidate = f"{folder or '.'}/{name}"
            if name and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
        raise LaunchError(f'exec: "{name}": executable file not found in $PATH', 127)
    try:
        found = os.stat(name)
    except OSError as error:
        why = (error.strerror or "").lower()
        code = 127 if error.errno == errno.ENOENT else 126
        raise LaunchError(f'exec: "{name}": stat {name}: {why}', code) from error
    if stat.S_ISDIR(found.st_mode):
        raise LaunchError(f'exec: "{name}": is a directory', 126)
    if not os.access(name, os.X_OK):
        raise LaunchError(f'exec: "{name}": permission denied', 126)
    return name
