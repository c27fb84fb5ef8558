"""Messages of a page that come out of order are handed on in order."""

import random
from typing import Any

from ipycontainer.widgets.ordered import Ordered


def test_each_page_has_its_order() -> None:
    got: list[dict[str, Any]] = []
    ordered = Ordered(got.append)
    sent = [{"page": page, "number": n} for n in range(50) for page in ("a", "b")]
    for message in random.sample(sent, len(sent)):
        ordered.take(message)
    for page in ("a", "b"):
        assert [m["number"] for m in got if m["page"] == page] == list(range(50))


def test_pages_that_are_gone_are_forgotten() -> None:
    got: list[dict[str, Any]] = []
    ordered = Ordered(got.append)
    for page in range(1000):
        ordered.take({"page": str(page), "number": 0})
        ordered.take({"page": str(page), "number": 2})
    assert len(got) == 1000
    assert len(ordered._early) < 50
