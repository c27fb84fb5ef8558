"""`python -m ipycontainer_kernel.shell -f FILE --settings JSON`: the process of one kernel."""

from __future__ import annotations

import json
import sys
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

from ipycontainer.failures import Failure
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.shell.kernel import ShellKernel


def main(arguments: list[str]) -> None:
    """Serve one kernel until Jupyter ends it."""
    if "--settings" not in arguments[:-1]:
        sys.exit("give the kernel's settings: --settings JSON, as `kernel install` writes it")
    place = arguments.index("--settings")
    try:
        settings: dict[str, Any] = json.loads(arguments[place + 1])
        Settings.from_json(settings)
    except (ValueError, Failure) as error:
        sys.exit(f"--settings: {error}")
    del arguments[place : place + 2]
    config = Config()
    config.IPKernelApp.ignore_cwd = True  # the notebook's folder may be a stranger's
    config.ShellKernel.settings = settings
    IPKernelApp.launch_instance(argv=arguments, kernel_class=ShellKernel, config=config)


if __name__ == "__main__":
    main(sys.argv[1:])
