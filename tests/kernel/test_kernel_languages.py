"""Kernels of other languages, and Pythons that are not CPython, as Debian packages them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kernelroom import SECONDS, Room, Running, running

from ipycontainer.sandbox.sessions import own_session
from ipycontainer_kernel import specs
from ipycontainer_kernel.inject import UnfitPython
from ipycontainer_kernel.resolving import resolve
from support import images
from support.registry import Registry

pytestmark = [pytest.mark.long, pytest.mark.needs("root", "mmdebstrap")]


@pytest.fixture(scope="module")
def image(room: Room, registry: Registry) -> str:
    name = registry.add(images.debian_languages_layout(), "languages")
    room.host.client.images.pull(name)
    return name


@pytest.fixture(scope="module")
def kernel(room: Room, image: str) -> Iterator[Running]:
    """Debian's IRkernel, installed without a word of what it is."""
    found = resolve(own_session(room.host.client), {"image": image, "name": "r"})
    assert (found.settings.kind, found.settings.spec, found.language) == ("image", "ir", "R")
    specs.write(found.settings, specs.Place(room.specs), language="R", icons=found.icons)
    with running("r") as started:
        yield started


def shown(kernel: Running, code: str, **options: Any) -> list[dict[str, Any]]:
    """Run a cell and return the contents of what it shows."""
    told: list[dict[str, Any]] = []
    kernel.client.execute_interactive(
        code,
        timeout=SECONDS,
        output_hook=lambda message: told.append(message["content"]),
        **options,
    )
    return told


def test_r_computes_and_plots(kernel: Running) -> None:
    assert kernel.run("x <- 20; x + 1") == ("ok", "[1] 21")
    pictures = [part["data"] for part in shown(kernel, "plot(1:3)") if "data" in part]
    assert [set(data) >= {"image/png"} for data in pictures] == [True]


def test_r_completes(kernel: Running) -> None:
    reply = kernel.client.complete("read.cs", reply=True, timeout=SECONDS)
    assert {"read.csv", "read.csv2"} <= set(reply["content"]["matches"])


def test_r_asks_a_question(kernel: Running) -> None:
    def answer(message: dict[str, Any]) -> None:
        assert message["content"]["prompt"] == "name? "
        kernel.client.input("Ada")

    code = 'name <- readline("name? "); cat("hello", name)'
    told = shown(kernel, code, allow_stdin=True, stdin_hook=answer)
    assert "hello Ada" in [part.get("text") for part in told]


def test_a_cell_of_r_is_interrupted_and_its_variables_stay(kernel: Running) -> None:
    kernel.run("kept <- 7")
    ident = kernel.begin('cat("now\\n"); flush.console(); Sys.sleep(600)')
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=SECONDS)
    assert reply["parent_header"]["msg_id"] == ident
    assert kernel.run("kept") == ("ok", "[1] 7")


def test_pypy_is_refused_with_the_reason(room: Room, image: str) -> None:
    with pytest.raises(
        UnfitPython, match=r"PyPy 3\.\d+\.\d+, and ipykernel is injected into CPython alone"
    ):
        resolve(own_session(room.host.client), {"image": image, "kind": "python"})
