"""One engine for the kernels of these tests, with the image that they are made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.engines import Engine, running_engine


@pytest.fixture(scope="session")
def kernel_engine(debian_python: str) -> Iterator[Engine]:
    """An engine of ours that has the small Debian with Python, which has no ipykernel."""
    with running_engine() as running:
        running.client.images.pull(debian_python)
        yield running
