"""Faults at random moments: whatever is hit, what was promised holds, and nothing is left over.

`--seed N` repeats the choices of a run that failed; the moments are as good as the machine's clock.
`--long` makes 300 rounds.
"""

import io
import os
import random

import pytest
from crashrounds import boxed

from support import images, made
from support.registry import Registry

pytestmark = [
    pytest.mark.needs("docker", "busybox", "docker-registry", "skopeo"),
    pytest.mark.ordinary_user,
]

SHORT, LONG = 8, 300


@pytest.fixture(scope="module")
def pulled(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three images of a few megabytes that share layers; busybox is in all of them."""
    out = io.BytesIO()
    images.write_busybox(out)
    bottom, rng = out.getvalue(), random.Random(1)
    extra = [_layer(rng, number) for number in range(4)]
    stacks = {"one": [0], "two": [0, 1, 2], "three": [0, 1, 3]}
    names = []
    for name, numbers in stacks.items():
        image = made.image(bottom, *(extra[number] for number in numbers))
        layout = made.write_layout(image, tmp_path_factory.mktemp("layout") / name)
        names.append(registry.add(layout, f"crash-{name}"))
    return names


def _layer(rng: random.Random, number: int) -> bytes:
    files = {f"data/{number}/{i}": rng.randbytes(20_000) for i in range(60)}
    return made.tar(files)


@pytest.mark.timeout(300)
def test_what_was_promised_holds_whatever_goes_wrong(seed: int, pulled: list[str]) -> None:
    rounds(seed, pulled, SHORT)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_three_hundred_faults_leave_nothing_behind(seed: int, pulled: list[str]) -> None:
    rounds(seed, pulled, LONG)


def rounds(seed: int, pulled: list[str], count: int) -> None:
    done = boxed(seed, count, pulled, root=os.getuid() == 0)
    print(f"repeat with --seed {seed}", done.stdout, sep="\n")
    assert done.returncode == 0, done.stderr
