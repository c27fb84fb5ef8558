"""A kernel that was injected into an image with musl does what one with glibc does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jupyter_kernel_test
import pytest
from test_injected import (
    WHEELS,
    Messages,
    test_a_widget_hears_of_the_page_and_the_page_of_it,
    test_an_interrupted_cell_ends_and_its_variables_stay,
    test_input_asks_the_person,
    test_nothing_of_it_is_in_the_environment_or_the_path_of_other_processes,
    test_pip_installs_into_the_image_for_every_process,
    test_the_debugger_stops_at_a_breakpoint,
    write_wheel,
)

from support import musl
from support.engines import Engine
from support.kernels import Kernel, add_kernelspec, jupyter_of, running_kernel
from support.needs import require
from support.registry import Registry

__all__ = [
    "test_a_widget_hears_of_the_page_and_the_page_of_it",
    "test_an_interrupted_cell_ends_and_its_variables_stay",
    "test_input_asks_the_person",
    "test_nothing_of_it_is_in_the_environment_or_the_path_of_other_processes",
    "test_pip_installs_into_the_image_for_every_process",
    "test_the_debugger_stops_at_a_breakpoint",
]
NAME = "musl"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def jupyter(
    kernel_engine: Engine,
    registry: Registry,
    injected: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """A kernelspec for the image, and a folder of wheels in its containers."""
    if not musl.kept_musl_python():
        require("musl")
    image = registry.add(musl.musl_python_layout(), NAME)
    kernel_engine.client.images.pull(image)
    wheels = tmp_path_factory.mktemp("wheels")
    write_wheel(wheels, "fromafolder", "VALUE = 42\n")
    with jupyter_of(kernel_engine, tmp_path_factory.mktemp("jupyter"), injected) as folder:
        volumes = [f"{wheels}:{WHEELS}:ro"]
        add_kernelspec(folder, NAME, image=image, network="none", volumes=volumes)
        yield


@pytest.fixture(scope="module")
def kernel(jupyter: None) -> Iterator[Kernel]:
    with running_kernel(NAME) as running:
        yield running


class TestMessages(Messages, jupyter_kernel_test.KernelTests):
    kernel_name = NAME


def test_extensions_in_c_are_those_for_musl(kernel: Kernel) -> None:
    maps = kernel.value("open('/proc/self/maps').read()")
    assert "/lib/ld-musl-x86_64.so.1" in maps
    assert "/run/ipycontainer-wheels/site/zmq/" in maps
    assert "libc.so.6" not in maps
