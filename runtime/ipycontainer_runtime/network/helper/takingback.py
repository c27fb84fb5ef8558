"""Take back the rules of ports whose container ended while no engine was there to do so.

`python -I -S takingback.py LIBRARIES ROOT PORTS`, of the engine with the data root ROOT: a process
of its own, since the helper would keep what it imports. PORTS is JSON, `Published`'s fields each.
"""

import json
import os
import sys


def take_back(libraries: str, root: str, ports: "list[list[str | int]]") -> int:
    """Begin to take ports back, as the helper does; the kernel collects the process.

    Return a descriptor, the caller's to close, that tells its end by its own.
    """
    command = [sys.executable, "-I", "-S", __file__, libraries, root, json.dumps(ports)]
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)
        os.posix_spawn(sys.executable, command, os.environ)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading


def main() -> None:
    """Take back what the command line names."""
    # -S leaves the search path without our own package and the libraries, -I without this folder.
    sys.path += [os.path.abspath(f"{__file__}/../../../.."), sys.argv[1]]
    from pathlib import Path

    from ipycontainer_runtime.network import firewall
    from ipycontainer_runtime.network.place import MachinePlace
    from ipycontainer_runtime.store.networks import Published

    ports = [
        Published(protocol=protocol, host_address=address, host_port=number, address=to, port=port)
        for protocol, address, number, to, port in json.loads(sys.argv[3])
    ]
    firewall.choose(MachinePlace(), firewall.table_of(Path(sys.argv[2]))).unpublish(ports)


if __name__ == "__main__":
    main()
