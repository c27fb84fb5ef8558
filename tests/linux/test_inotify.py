import asyncio
import os
from pathlib import Path

import pytest

from ipycontainer_runtime.linux.inotify import CLOSED, GONE, MODIFIED, Watch


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def next_change(watch: Watch) -> str:
    return await asyncio.wait_for(anext(aiter(watch)), 5)


def test_a_write_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> None:
        with Watch(path) as watch, path.open("ab", buffering=0) as writer:
            waiting = asyncio.create_task(next_change(watch))
            await asyncio.sleep(0)
            writer.write(b"x")
            assert await waiting == MODIFIED
            writer.close()
            assert await next_change(watch) == CLOSED

    asyncio.run(scenario())


def test_what_is_written_before_the_wait_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> None:
        with Watch(path) as watch, path.open("ab", buffering=0) as writer:
            for _ in range(1000):
                writer.write(b"x")
            assert await next_change(watch) == MODIFIED

    asyncio.run(scenario())


def test_many_writes_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> list[str]:
        with Watch(path) as watch:
            path.write_bytes(b"x" * 100)
            path.unlink()
            return [change async for change in watch]

    changes = asyncio.run(asyncio.wait_for(scenario(), 5))
    assert changes == [MODIFIED, CLOSED, GONE]


@pytest.mark.parametrize("end", ["unlink", "rename"])
def test_a_removed_or_renamed_file_ends_the_iteration(tmp_path: Path, end: str) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> list[str]:
        with Watch(path) as watch:
            if end == "unlink":
                path.unlink()
            else:
                path.rename(tmp_path / "log.1")
            return [change async for change in watch]

    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == [GONE]


def test_a_cancelled_watch_leaves_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> None:
        async def follow() -> None:
            with Watch(path) as watch:
                async for _ in watch:
                    pass

        before = descriptors()
        task = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert descriptors() == before + 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert descriptors() == before

    asyncio.run(scenario())


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        Watch(tmp_path / "missing")
    assert descriptors() == before
