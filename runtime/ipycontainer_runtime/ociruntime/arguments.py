"""The flags of the command, as runc and crun have them: other programs write these lines."""

import argparse
import os


def parser(version: str) -> argparse.ArgumentParser:
    """Return the command's parser; `version` is what --version prints."""
    top = argparse.ArgumentParser(
        "ipycontainer-oci", description="An OCI runtime.", allow_abbrev=False
    )
    top.add_argument("--version", "-v", action="version", version=version)
    top.add_argument("--root", help="where containers are kept between calls")
    top.add_argument("--log", help="a file for errors")
    top.add_argument("--log-format", choices=("text", "json"), default="text")
    top.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    top.add_argument("--systemd-cgroup", action="store_true", help=argparse.SUPPRESS)
    top.add_argument("--rootless", help=argparse.SUPPRESS)  # seen by itself
    top.add_argument("--criu", help=argparse.SUPPRESS)
    operations = top.add_subparsers(dest="operation", required=True, metavar="OPERATION")

    def operation(name: str, what: str) -> argparse.ArgumentParser:
        return operations.add_parser(name, help=what, description=what, allow_abbrev=False)

    def on_container(name: str, what: str) -> argparse.ArgumentParser:
        made = operation(name, what)
        made.add_argument("id")
        return made

    create = on_container("create", "create a container, to be started later")
    _created(create)
    run = on_container("run", "create and start a container")
    _created(run)
    run.add_argument("--detach", "-d", action="store_true")
    run.add_argument("--keep", action="store_true", help="do not delete it at its end")
    run.add_argument("--no-subreaper", action="store_true", help=argparse.SUPPRESS)
    for name, what in _PLAIN.items():
        on_container(name, what)
    kill = on_container("kill", "send a signal to a container")
    kill.add_argument("signal", nargs="?", default="SIGTERM")
    kill.add_argument("--all", "-a", action="store_true", help="to every process of it")
    delete = on_container("delete", "remove a container that has stopped")
    delete.add_argument("--force", "-f", action="store_true", help="end it first if it runs")
    _exec(on_container("exec", "execute a further process in a container"))
    update = on_container("update", "change a container's limits")
    update.add_argument("--resources", "-r", required=True, help="a JSON file, - for stdin")
    ps = on_container("ps", "list the processes of a container")
    ps.add_argument("--format", "-f", choices=("table", "json"), default="table")
    ps.add_argument("options", nargs=argparse.REMAINDER)
    listing = operation("list", "list containers")
    listing.add_argument("--format", "-f", choices=("table", "json"), default="table")
    listing.add_argument("--quiet", "-q", action="store_true")
    spec = operation("spec", "write a config.json to begin with")
    spec.add_argument("--bundle", "-b", default=".")
    spec.add_argument("--rootless", action="store_true")
    operation("features", "tell what this runtime does")
    return top


_PLAIN = {
    "start": "start a container that was created",
    "state": "tell the state of a container",
    "pause": "stop every process of a container",
    "resume": "let the processes of a paused container go on",
}


def _created(made: argparse.ArgumentParser) -> None:
    made.add_argument("--bundle", "-b", default=os.curdir)
    made.add_argument("--no-pivot", action="store_true", help="the host runs from an initramfs")
    made.add_argument("--no-new-keyring", action="store_true", help=argparse.SUPPRESS)
    _process(made)


def _process(made: argparse.ArgumentParser) -> None:
    made.add_argument("--console-socket", help="a socket for the terminal's master")
    made.add_argument("--pid-file")
    made.add_argument("--preserve-fds", type=int, default=0, metavar="N")


def _exec(made: argparse.ArgumentParser) -> None:
    _process(made)
    made.add_argument("--process", "-p", help="a JSON file that describes it")
    made.add_argument("--detach", "-d", action="store_true")
    made.add_argument("--tty", "-t", action="store_true")
    made.add_argument("--cwd")
    made.add_argument("--env", "-e", action="append", default=[])
    made.add_argument("--user", "-u", help="uid[:gid]")
    made.add_argument("--additional-gids", "-g", type=int, action="append", default=[])
    made.add_argument("--cap", "-c", action="append", default=[])
    made.add_argument("--no-new-privs", action="store_true")
    made.add_argument("--ignore-paused", action="store_true")
    made.add_argument("--no-subreaper", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("args", nargs=argparse.REMAINDER)
