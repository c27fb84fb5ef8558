"""Which process waits for a container's standard input, as /proc tells it.

A task waits for it when it is blocked in a system call that ends once *that very* pipe or terminal
can be read: the same inode, by whatever descriptor it got there. `/proc/PID/task/TID/syscall` has
the call's number, its arguments and where it was made, and "running" for a task that is not
blocked. Nothing here changes what it looks at, and a task can make itself alone look like one.

What belongs to the container is looked at with care: a link is read and not followed, since a file
system of the person's may hang, and of memory and sets only so much is read.

Numbers: arch/x86/entry/syscalls/*.tbl, include/uapi/asm-generic/unistd.h and arch/arm/tools/
syscall.tbl of the kernel.
"""

import fcntl
import os
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Calls = dict[int, Callable[[int, "Sought", list[int]], bool]]

MOST_POLLED = 1024  # descriptors of one poll or select that are looked at
MOST_RESTARTED = 64
MOST_SETS = 8  # of epoll descriptors that watch one another
MOST_WATCHED = 1 << 16  # bytes of what an epoll descriptor tells of itself
READABLE = 0x1 | 0x40  # POLLIN, POLLRDNORM; epoll's are the same
TIOCGPTPEER = 0x5441
PTY_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
TTY = os.makedev(5, 0)  # /dev/tty, which is each process's own terminal
ELFCLASS32 = b"\x7fELF\x01"
INT80 = b"\xcd\x80"
LOW = 1 << 32


class Sought:
    """The pipe or terminal that a process must wait for."""

    def __init__(self, link: str, device: int, inode: int, terminal: int) -> None:
        self._link = link
        self._device = device
        self._inode = inode
        self._terminal = terminal

    def is_at(self, pid: int, fd: int) -> bool:
        """Tell whether a process has it under this descriptor."""
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
            if not self._terminal:
                return link == self._link
            if "/dev/" not in link:
                return False
            found = os.stat(f"/proc/{pid}/fd/{fd}")
        except OSError:
            return False
        if found.st_rdev == TTY:
            return self._controls(pid)
        return (found.st_dev, found.st_ino) == (self._device, self._inode)

    def is_listed(self, line: str, pid: int) -> bool:
        """Tell whether a line of an epoll descriptor's fdinfo names it, and for reading.

        `tfd: 0 events: 19 data: … pos:0 ino:7cf8d7 sdev:f`, all but the first in hexadecimal. The
        inode is what counts: the descriptor may have been given to another file since.
        """
        words = line.replace(":", " ").split()
        try:
            known = dict(zip(words[::2], words[1::2], strict=True))
            if not int(known["events"], 16) & READABLE:
                return False
            inode, device = int(known["ino"], 16), int(known["sdev"], 16)
            if (inode, device) == (self._inode, _kernels(self._device)):
                return True
            return bool(self._terminal) and self.is_at(pid, int(known["tfd"]))
        except (KeyError, ValueError):
            return False

    def lets_read(self, pid: int) -> bool:
        """Tell whether a process may read it: of a terminal's own processes the foreground may."""
        if not self._terminal or not self._controls(pid):
            return True
        fields = _stat(pid)
        return fields[2] == fields[5]  # its process group, and the terminal's foreground one

    def _controls(self, pid: int) -> bool:
        return int(_stat(pid)[4]) == self._terminal


def pipe(fd: int) -> Sought:
    """Return what readers of the pipe wait for that has this other end."""
    found = os.fstat(fd)
    return Sought(f"pipe:[{found.st_ino}]", found.st_dev, found.st_ino, 0)


def terminal(master: int) -> Sought:
    """Return what readers of the terminal wait for that has this master; needs Linux 4.13."""
    peer = fcntl.ioctl(master, TIOCGPTPEER, PTY_FLAGS)
    try:
        found = os.fstat(peer)
    finally:
        os.close(peer)
    return Sought("", found.st_dev, found.st_ino, _of_stat(found.st_rdev))


def unread(pipe: int) -> int:
    """Return how many bytes are in a pipe."""
    found: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return found


def shows(master: int) -> bool:
    """Tell whether what is typed may be seen.

    Without echo and still by lines it is a password that is read. Who reads by characters draws
    them himself, as readline does.
    """
    flags: int = termios.tcgetattr(master)[3]
    return bool(flags & termios.ECHO) or not flags & termios.ICANON


def waiting(pids: "Iterable[int]", sought: Sought) -> "Iterator[int | None]":
    """Yield for each task whether it waits: the pid of its process, or None."""
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            yield pid if waits(pid, task, sought) else None


def waits(pid: int, task: "int | str", sought: Sought) -> bool:
    """Tell whether a task is blocked until the input can be read."""
    try:
        number, *values = _read(f"/proc/{pid}/task/{task}/syscall", 256).split()
        if len(values) < 8:  # "running", or stopped outside of any call
            return False
        call = int(number)
        arguments = [int(value, 16) for value in values]
        if call not in _ANY:
            return False
        holds = _calls(pid, *arguments[6:]).get(call)
        return holds is not None and holds(pid, sought, arguments) and sought.lets_read(pid)
    except (OSError, ValueError, IndexError, struct.error):
        return False  # it has ended meanwhile, or holds nonsense


def name_of(pid: int) -> str:
    """Return a process's name: 15 bytes that it may choose itself; empty when it has ended."""
    try:
        return _read(f"/proc/{pid}/comm", 64).decode(errors="replace").strip()
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Return all processes below one, where no cgroup tells who is in a container."""
    found: list[int] = []
    queue = [pid]
    while queue:
        parent = queue.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                path = f"/proc/{parent}/task/{task}/children"
                queue += [int(child) for child in _read(path, MOST_WATCHED).split()]
        except OSError:
            continue
        found.append(parent)
    return found[1:]


def _read(path: str, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat after the name: state, parent, group, session, …."""
    return _read(f"/proc/{pid}/stat", 1024).rpartition(b")")[2].split()


def _of_stat(device: int) -> int:
    """Return a device number as /proc/PID/stat has it."""
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def _kernels(device: int) -> int:
    """Return a device number as the kernel has it inside."""
    return os.major(device) << 20 | os.minor(device)


def _memory(pid: int, address: int, size: int) -> bytes:
    """Return what a blocked task has given to the kernel, so that it is there and need not come."""
    if address >= 1 << 63:
        return b""
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, address)
    finally:
        os.close(fd)


# -- one function for each kind of call: whether it ends once the input can be read


def _by_descriptor(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """read(fd, …), readv, splice, tee."""
    return sought.is_at(pid, arguments[0] & 0xFFFFFFFF)


def _by_second(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """sendfile(out_fd, in_fd, …), with which busybox copies from a terminal."""
    return sought.is_at(pid, arguments[1] & 0xFFFFFFFF)


def _by_poll(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """poll(struct pollfd *fds, nfds, …), ppoll."""
    count = min(arguments[1], MOST_POLLED)
    polled = _memory(pid, arguments[0], 8 * count)
    whole = polled[: len(polled) // 8 * 8]
    return any(
        events & READABLE and fd >= 0 and sought.is_at(pid, fd)
        for fd, events, _ in struct.iter_unpack("=ihh", whole)
    )


def _by_restarted_poll(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """restart_syscall(), which goes on with what a stop interrupted and has its registers.

    It may be another call than poll. Their second arguments are no such numbers, but by accident.
    """
    return arguments[1] <= MOST_RESTARTED and _by_poll(pid, sought, arguments)


def _by_select(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """select(nfds, fd_set *readfds, …), pselect6."""
    count = min(arguments[0] & 0xFFFFFFFF, MOST_POLLED)
    if not arguments[1]:
        return False
    wanted = int.from_bytes(_memory(pid, arguments[1], (count + 7) // 8), "little")
    return any(wanted >> fd & 1 and sought.is_at(pid, fd) for fd in range(count))


def _by_old_select(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """select(struct {nfds, readfds, …} *) of i386."""
    words = struct.unpack("=II", _memory(pid, arguments[0], 8))
    return _by_select(pid, sought, list(words))


def _by_epoll(pid: int, sought: Sought, arguments: list[int]) -> bool:
    """epoll_wait(epfd, …), epoll_pwait, epoll_pwait2."""
    return _set_has(pid, sought, arguments[0] & 0xFFFFFFFF, [MOST_SETS])


def _set_has(pid: int, sought: Sought, fd: int, left: list[int]) -> bool:
    """Tell whether an epoll descriptor's set has it, or a set in it; so many are looked at."""
    left[0] -= 1
    text = _read(f"/proc/{pid}/fdinfo/{fd}", MOST_WATCHED).decode()
    lines = [line for line in text.splitlines() if line.startswith("tfd:")]
    if any(sought.is_listed(line, pid) for line in lines):
        return True
    return any(
        left[0] > 0 and _is_set(pid, inner) and _set_has(pid, sought, inner, left)
        for inner in _watched(lines)
    )


def _watched(lines: "Iterable[str]") -> "Iterator[int]":
    """Yield the descriptors that are watched for reading."""
    for line in lines:
        words = line.split()  # tfd: 4 events: 19 …
        if len(words) > 3 and int(words[3], 16) & READABLE:
            yield int(words[1])


def _is_set(pid: int, fd: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:[eventpoll]"
    except OSError:
        return False  # it is watched still, under no number


def _table(
    descriptor: "Iterable[int]",
    second: "Iterable[int]",
    poll: "Iterable[int]",
    restarted: int,
    select: "Iterable[int]",
    epoll: "Iterable[int]",
) -> "Calls":
    return {
        **dict.fromkeys(descriptor, _by_descriptor),
        **dict.fromkeys(second, _by_second),
        **dict.fromkeys(poll, _by_poll),
        restarted: _by_restarted_poll,
        **dict.fromkeys(select, _by_select),
        **dict.fromkeys(epoll, _by_epoll),
    }


# read readv splice tee; sendfile; poll ppoll; restart_syscall; select pselect6; epoll_wait,
# epoll_pwait, epoll_pwait2.
_X86_64 = _table((0, 19, 275, 276), (40,), (7, 271), 219, (23, 270), (232, 281, 441))
_I386 = {
    **_table((3, 145, 313, 315), (187, 239), (168, 309, 414), 0, (142, 308, 413), (256, 319, 441)),
    82: _by_old_select,
}
_AARCH64 = _table((63, 65, 76, 77), (71,), (73,), 128, (72,), (22, 441))
_ARM = _table((3, 145, 340, 342), (187, 239), (168, 336, 414), 0, (142, 335, 413), (252, 346, 441))
_NATIVE, _COMPATIBLE = {"x86_64": (_X86_64, _I386), "aarch64": (_AARCH64, _ARM)}.get(
    os.uname().machine, ({}, {})
)
_ANY = _NATIVE.keys() | _COMPATIBLE.keys()


def _calls(pid: int, stack: int, counter: int) -> "Calls":
    """Return the calls by the numbers that a task used, whose registers these are.

    On x86_64 the instruction tells: `int 0x80` takes i386's numbers, also in a 64-bit program, and
    a 32-bit one that used another is made to return to just after its `int 0x80`.
    """
    if _NATIVE is _X86_64:
        return _I386 if _memory(pid, counter - 2, 2) == INT80 else _X86_64
    if stack < LOW and _read(f"/proc/{pid}/exe", 5) == ELFCLASS32:
        return _COMPATIBLE
    return _NATIVE
