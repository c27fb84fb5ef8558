"""What a small system needs beside a Python: a shell, the core utilities, a few files."""

import os
import shutil

from ipycontainer_runtime.capture.tree import Tree

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

COMMANDS = (  # noqa: SIM905 - this many words read better as text
    # shells, and the programs of GNU coreutils, grep, sed, awk, findutils, procps, tar and gzip
    "sh bash dash "
    "arch b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df "
    "dir dirname du echo env expand expr factor false fmt fold groups head hostid id install join "
    "link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste "
    "pathchk pr printenv printf ptx pwd readlink realpath rm rmdir seq sha1sum sha224sum sha256sum "
    "sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail tee test "
    "timeout touch tr true truncate tsort tty uname unexpand uniq unlink users vdir wc who whoami "
    "yes [ grep egrep fgrep sed awk mawk gawk find xargs tar gzip gunzip zcat diff cmp which "
    "hostname ps kill pkill pgrep free top uptime vmstat watch mount umount more less clear tput "
    "reset getent getconf locale setpriv unshare nsenter ip ss"
).split()

FOLDERS = (
    "/usr/share/zoneinfo",
    "/lib/terminfo",
    "/usr/share/terminfo/x",
    "/usr/lib/locale/C.utf8",
    "/usr/libexec/coreutils",
)
FILES = (
    "/bin",  # with merged /usr these are symlinks, and programs are named by either way
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/protocols",
    "/etc/services",
    "/etc/mime.types",
    "/etc/bash.bashrc",
)
ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUPS = """\
root:x:0:
daemon:x:1:
tty:x:5:
nogroup:x:65534:
"""
NAME_SERVICES = """\
passwd: files
group: files
hosts: files dns
services: files
"""


def collect(tree: Tree) -> None:
    """Add the shell, the utilities and the files of a small system; skip what this host lacks."""
    for name in COMMANDS:
        if path := shutil.which(name, path=HOST_PATH):
            tree.add(path)
    for path in FILES:
        tree.add(path)
    for path in FOLDERS:
        tree.add_folder(path, lambda path, _folder: os.path.basename(path) in ("posix", "right"))
    for path in ("/root", "/home", "/etc", "/usr/local/bin", "/opt", "/srv", "/var", "/run"):
        tree.make_folder(path)
    for path in ("/tmp", "/var/tmp"):  # noqa: S108 - the image's own, not the host's
        tree.make_folder(path, 0o1777)
    tree.make_file("/etc/passwd", ACCOUNTS)
    tree.make_file("/etc/group", GROUPS)
    tree.make_file("/etc/nsswitch.conf", NAME_SERVICES)
    tree.make_link("/var/run", "/run")
