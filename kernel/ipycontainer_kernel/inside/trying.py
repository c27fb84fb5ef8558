"""Be a kernel for one cell: whether the ipykernel that an image has of its own can be one here.

Nothing is printed but what an old ipykernel itself has to say.
"""

import importlib
import json
import os
import sys
import threading
import traceback
from typing import Any

FOLDER = "/dev/shm"  # noqa: S108 - a tmpfs of this container alone, which is all that it can write
PORTS = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
SECONDS = 30


def main() -> None:
    """Start a kernel and its client, and end with both."""
    boot = importlib.import_module("boot")  # beside this file
    connection = {"transport": "ipc", "ip": FOLDER + "/k", "key": "k", "kernel_name": ""}
    connection["signature_scheme"] = "hmac-sha256"
    numbered = {name: number for number, name in enumerate(PORTS, 1)}
    file = FOLDER + "/c.json"
    with open(file, "w") as out:
        json.dump({**connection, **numbered}, out)
    app = boot.application(file)
    threading.Thread(target=ask, args=(file,), daemon=True).start()
    app.start()


def ask(file: str) -> None:
    """Have a cell run, and end this process with 0 if it was."""
    code = 1
    try:
        code = 0 if answered(file) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def answered(file: str) -> bool:
    """Tell whether a cell was run."""
    from jupyter_client.blocking.client import BlockingKernelClient

    client: Any = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=SECONDS)
    asked = client.execute("1 + 1")
    while True:
        reply = client.get_shell_msg(timeout=SECONDS)
        if reply["parent_header"].get("msg_id") == asked:
            if reply["content"]["status"] != "ok":
                sys.stderr.write("%s\n" % reply["content"].get("evalue"))
            return bool(reply["content"]["status"] == "ok")


if __name__ == "__main__":
    main()
