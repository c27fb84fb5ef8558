import asyncio
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ipycontainer_runtime.linux.inotify import CLOSED, GONE, MODIFIED, Watch, Watches


def kernel_watches() -> int:
    """Count the watches that the kernel keeps for this process's inotify instances."""
    infos = (info.read_text() for info in Path("/proc/self/fdinfo").iterdir() if info.exists())
    return sum(info.count("inotify wd:") for info in infos)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def opened(path: Path) -> Iterator[Watch]:
    with closing(Watches()) as watches, watches.watch(path) as watch:
        yield watch


async def next_change(watch: Watch) -> str:
    return await asyncio.wait_for(anext(aiter(watch)), 5)


def test_a_write_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> None:
        with opened(path) as watch, path.open("ab", buffering=0) as writer:
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
        with opened(path) as watch, path.open("ab", buffering=0) as writer:
            for _ in range(1000):
                writer.write(b"x")
            assert await next_change(watch) == MODIFIED

    asyncio.run(scenario())


def test_many_writes_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> list[str]:
        with opened(path) as watch:
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
        with opened(path) as watch:
            if end == "unlink":
                path.unlink()
            else:
                path.rename(tmp_path / "log.1")
            return [change async for change in watch]

    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == [GONE]


def test_a_cancelled_watch_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> None:
        watches = Watches()

        async def follow() -> None:
            with watches.watch(path) as watch:
                async for _ in watch:
                    pass

        before = descriptors()
        task = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert kernel_watches() == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert kernel_watches() == 0
        watches.close()
        watches.close()
        assert descriptors() == before

    asyncio.run(scenario())


def test_watches_of_one_file_are_told_each_and_given_up_each(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    async def scenario() -> None:
        watches = Watches()
        with watches.watch(path) as first:
            with watches.watch(path) as second:
                path.write_bytes(b"x")
                assert await next_change(second) == MODIFIED
                assert await next_change(first) == MODIFIED
            path.write_bytes(b"y")
            assert await next_change(first) == MODIFIED
        assert kernel_watches() == 0
        watches.close()

    asyncio.run(scenario())


def test_a_hundred_files_are_watched_by_one_descriptor(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(100)]
    for path in paths:
        path.touch()

    async def scenario() -> None:
        watches = Watches()
        before = descriptors()
        opened = [watches.watch(path) for path in paths]
        assert descriptors() == before + 1
        paths[42].write_bytes(b"x")
        assert await next_change(opened[42]) == MODIFIED
        paths[43].unlink()
        assert await next_change(opened[43]) == GONE
        opened[43].close()
        watches.close()

    asyncio.run(scenario())


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        watches = Watches()
        with pytest.raises(FileNotFoundError):
            watches.watch(tmp_path / "missing")
        watches.close()

    asyncio.run(scenario())
