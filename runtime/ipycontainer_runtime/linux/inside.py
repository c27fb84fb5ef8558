"""What is to be done in another network namespace is done on a thread there.

The helper of networks loads this module, so it imports only what is small.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from .calls import CLONE_NEWNET, setns

_Result = TypeVar("_Result")


def within(netns: int | None, work: Callable[[], _Result]) -> _Result:
    """Do this in another network namespace, where one is given, and return what came of it.

    A process in a user namespace may enter the network namespaces that belong to that, but nothing
    lets it back into the machine's.
    """
    if netns is None:
        return work()

    def there() -> _Result:
        setns(netns, CLONE_NEWNET)
        return work()

    return on_a_thread(there)


def on_a_thread(work: Callable[[], _Result]) -> _Result:
    """Do this on a thread of its own, which takes the namespaces that it enters with it."""
    done: list[_Result] = []
    failed: list[BaseException] = []

    def keep() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=keep)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
