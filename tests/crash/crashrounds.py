"""The rounds as a program: `crashrounds.py SEED COUNT IMAGE…`, run by test_crash.py.

It kills by force what it finds, so as root it runs in a pid and a mount namespace of its own: no
mistake here can then end anything but itself, and the small disk is mounted for nobody else.
"""

import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

EPISODE = 25  # rounds of one engine's folders


def boxed(
    seed: int, count: int, images: list[str], root: bool
) -> "subprocess.CompletedProcess[str]":
    """Run so many rounds in a process of its own; its output tells each."""
    command = [sys.executable, __file__, str(seed), str(count), *images]
    if root:
        box = ["unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"]
        command = [*box, *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main(seed: int, count: int, images: list[str]) -> None:
    """Make so many rounds; the first that fails ends them with an exception."""
    from crashworld import world

    rng = random.Random(seed)
    for begin in range(0, count, EPISODE):
        with world(images, rng) as made:
            for number in range(begin, min(begin + EPISODE, count)):
                made.round(number)
            made.leave()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
