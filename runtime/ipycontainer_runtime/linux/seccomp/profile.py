"""What a container may ask of the kernel: an allowlist in the shape of Docker's default.

A call that is listed nowhere is refused with EPERM. A number that this table does not know, being
of a later kernel, is answered ENOSYS, so that programs fall back to what they did before.

Where Docker's profile and this one differ:

- i386 programs have `socketcall`, whose arguments are behind a pointer that a filter cannot
  follow. Docker allows it, and with it AF_ALG and AF_VSOCK. Here its SYS_SOCKET is refused and
  everything else of it allowed: i386 programs make sockets by `socket` (Linux 4.3), as those
  linked with musl do; those linked with glibc have no network.
- x32 calls are answered ENOSYS, as by the many kernels that do not have them.
- Numbers in the gaps of a table are answered ENOSYS too: the kernel says the same.

Source: https://github.com/moby/profiles/blob/main/seccomp/default_linux.go for which calls;
tests compare the compiled filter with libseccomp's for the same list.
"""

import errno
from typing import NamedTuple


class Refuse(NamedTuple):
    """Answer the call with this error."""

    errno: int


class Allow(NamedTuple):
    """Let the call through when one argument is right, else answer EPERM.

    The argument's low 32 bits are masked and compared: the kernel itself takes each of the
    arguments asked about here as a 32-bit number. No `values` means any.
    """

    argument: int = 0
    mask: int = 0xFFFFFFFF
    values: tuple[int, ...] = ()


Verdict = Allow | Refuse
ALLOW = Allow()
EPERM = Refuse(errno.EPERM)
ENOSYS = Refuse(errno.ENOSYS)
FAKED = Refuse(0)
"""Answer that it was done, and do nothing: errno 0 is success."""


def _names(*groups: str) -> frozenset[str]:
    return frozenset(" ".join(groups).split())


ALLOWED = _names(
    # Files by name
    """access chdir chmod chown chown32 creat faccessat faccessat2 fchmodat fchmodat2 fchownat
    fstatat64 futimesat getcwd getxattr getxattrat inotify_add_watch lchown lchown32 lgetxattr link
    linkat listmount listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 mkdir
    mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat
    removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64
    statfs statfs64 statmount statx symlink symlinkat truncate truncate64 umask unlink unlinkat
    utime utimensat utimensat_time64 utimes""",
    # Files by descriptor
    """_llseek arm_fadvise64_64 arm_sync_file_range cachestat close close_range copy_file_range dup
    dup2 dup3 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchown fchown32 fcntl
    fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatfs
    fstatfs64 fsync ftruncate ftruncate64 getdents getdents64 inotify_init inotify_init1
    inotify_rm_watch ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
    readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee
    vmsplice write writev""",
    # Waiting for descriptors
    """_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
    epoll_wait epoll_wait_old eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64
    select signalfd signalfd4""",
    # Asynchronous input and output of the older kind; io_uring bypasses this filter
    """io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
    ioprio_get ioprio_set""",
    # Sockets but for making one, which depends on the family
    """accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair""",
    # Memory
    """brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
    mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect remap_file_pages""",
    # Processes and threads but for making one, which depends on the flags
    """arch_prctl breakpoint cacheflush capget capset execve execveat exit exit_group fork
    get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit
    getrusage getsid gettid kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    modify_ldt pause pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease
    process_vm_readv process_vm_writev ptrace restart_syscall rseq seccomp set_robust_list
    set_thread_area set_tid_address set_tls setpgid setpriority setrlimit setsid sysinfo tgkill
    times tkill ugetrlimit uname uprobe uretprobe vfork wait4 waitid waitpid""",
    # Users and groups
    """getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
    getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setuid setuid32""",
    # Scheduling
    """sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield""",
    # Signals
    """rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn""",
    # Clocks and timers; setting a clock depends on CAP_SYS_TIME, in the kernel for the adjtimex's
    """adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64""",
    # Locks, queues and System V's means of communication
    """futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat
    shmctl shmdt shmget""",
    # Random numbers
    "getrandom",
)

GRANTED = {
    "CAP_BPF": _names("bpf"),
    "CAP_DAC_READ_SEARCH": _names("open_by_handle_at"),
    "CAP_PERFMON": _names("perf_event_open"),
    "CAP_SYSLOG": _names("syslog"),
    "CAP_SYS_ADMIN": _names(
        """bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname
        setns syslog umount umount2 unshare"""
    ),
    "CAP_SYS_BOOT": _names("reboot"),
    "CAP_SYS_CHROOT": _names("chroot"),
    "CAP_SYS_MODULE": _names("delete_module finit_module init_module"),
    "CAP_SYS_NICE": _names("get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    "CAP_SYS_PACCT": _names("acct"),
    "CAP_SYS_PTRACE": _names("kcmp pidfd_getfd process_madvise"),
    "CAP_SYS_RAWIO": _names("ioperm iopl"),
    "CAP_SYS_TIME": _names("clock_settime clock_settime64 settimeofday stime"),
    "CAP_SYS_TTY_CONFIG": _names("vhangup"),
}
"""Which further calls a container with this capability may make."""

# Flags of clone(2) that make a namespace. CLONE_NEWTIME (0x80) is not among them: there the low
# byte is the exit signal.
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = (
    CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
)
# All families of <linux/socket.h> but those that the kernel has dropped (12 DECnet, 19 Econet,
# 20 ATM SVC, 23 IrDA, 24 Wanpipe, 34 ISDN, 37 CAIF), 38 AF_ALG, which has given away root more than
# once, and 40 AF_VSOCK, which reaches the host and other guests past every network namespace.
FAMILIES = (*range(12), *range(13, 19), 21, 22, *range(25, 34), 35, 36, 39, *range(41, 46))
# socketcall(2): 1 is SYS_SOCKET; <linux/net.h> ends with 20, SYS_SENDMMSG.
SOCKETCALLS = tuple(range(2, 21))
# Linux, Linux with UNAME26 or the 32-bit machine or both (what setarch and docker build use), and
# the question which one it is: <linux/personality.h>.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

CONDITIONAL: dict[str, Verdict] = {
    "clone": Allow(0, NAMESPACES, (0,)),
    # Its flags are behind a pointer; on ENOSYS the C libraries fall back to clone.
    "clone3": ENOSYS,
    "personality": Allow(0, values=PERSONALITIES),
    "socket": Allow(0, values=FAMILIES),
    "socketcall": Allow(0, values=SOCKETCALLS),
}


def verdicts(capabilities: frozenset[str]) -> dict[str, Verdict]:
    """Return the verdict by name for a container with these capabilities; EPERM for the others."""
    granted = {name for capability in capabilities for name in GRANTED.get(capability, ())}
    return {**CONDITIONAL, **dict.fromkeys(ALLOWED | granted, ALLOW)}


# What cannot be done with a single id, and what programs that expect to be root take for certain:
# - Owners of files. dpkg, tar, install and cp give away what they unpack. Every file has the one
#   id; as said when the container is created, its owner is recorded as 0:0.
# - Ids of processes. Daemons and `su` give up root by these, and setgroups is forbidden where a
#   user mapped himself. A process that goes on as the container's root has no more power: it is
#   the same user outside.
# What works for real is not here (capset, setxattr), nor what fails for a range of ids too (mknod
# of devices). A program that looks whether it became another finds that it did not: apt does, so
# the mount points' layer holds a file that spares it the change.
FAKED_CALLS = _names(
    "chown chown32 fchown fchown32 fchownat lchown lchown32",
    """setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32""",
)


def faking(allowed: dict[str, Verdict]) -> dict[str, Verdict]:
    """Return the verdicts of a container with one id, whose other calls have these."""
    return {**allowed, **dict.fromkeys(FAKED_CALLS, FAKED)}
