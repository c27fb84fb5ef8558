"""A run of the tests that is stopped ends what its fixtures have started."""

import os
import signal
from types import FrameType

import pytest

from ipycontainer_runtime.launch.syscalls import PR_SET_PDEATHSIG, prctl
from support import leftovers

PATIENCE = 60
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """A plugin of pytest: to be ended is an interrupt, and what ends for it is not disturbed.

    pytest-xdist's processes hear of one from their controller alone, which waits for them: execnet
    would interrupt them again after 5 s, in the middle of their fixtures' ends, and end them 10 s
    later.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Take signals from now on."""
        self._own = os.getpid()
        self._is_worker = hasattr(config, "workerinput")
        self._has_workers = False
        self._stopped = False
        # Tests interrupt themselves. Who runs them in the background of a shell has that ignored.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self._interrupt)
        if self._is_worker:
            os.setpgid(0, 0)  # so that a terminal does not tell it as well
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # the controller may be killed

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._own:  # a test has forked
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._hear_no_more()
        raise KeyboardInterrupt

    def _hear_no_more(self) -> None:
        # Not SIG_IGN, which what is started from now on would have too.
        for number in _SIGNALS:
            signal.signal(number, lambda _number, _frame: None)

    @pytest.hookimpl(optionalhook=True)  # where pytest-xdist is not, as in tests/vm's machine
    def pytest_testnodeready(self) -> None:
        """Take note that this is a controller: its children are the processes that test."""
        self._has_workers = True

    def pytest_keyboard_interrupt(self) -> None:
        """Let fixtures end what they have started, here or in the processes that test."""
        self._hear_no_more()
        self._stopped = True
        if self._has_workers:
            workers = leftovers.children(self._own)
            for pid in workers:
                os.kill(pid, signal.SIGTERM)
            leftovers.outlived(workers, PATIENCE)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End a process that tests no more, which the controller waits for."""
        if self._is_worker and self._stopped:
            os._exit(pytest.ExitCode.INTERRUPTED)
