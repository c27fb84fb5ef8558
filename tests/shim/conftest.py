"""The engine's side of real shims: each async test runs in a loop, its engine begun and ended."""

import asyncio
import inspect
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from shimbox import Engine, Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image") / "root")


@pytest.fixture
def engine(image: Image) -> Iterator[Engine]:
    """An engine in folders with short names, as socket addresses want them."""
    folder = Path(tempfile.mkdtemp(prefix="ipycs"))
    yield Engine(folder, image)
    shutil.rmtree(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test, inside its engine if it asks for one."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def run() -> None:
        # A client that waits for a thread in which to read would stall its container.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(128))
        async with AsyncExitStack() as stack:
            for value in arguments.values():
                if isinstance(value, Engine):
                    await stack.enter_async_context(value)
            await pyfuncitem.obj(**arguments)

    asyncio.run(asyncio.wait_for(run(), 120))
    return True
