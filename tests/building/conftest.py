"""What the tests of the builder share."""

import pytest


@pytest.fixture(autouse=True)
def _classic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the real `docker` use the classic builder."""
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
