"""Bytecode for what is injected, compiled by the image's own Python.

Only that can read it. What it sends is executed in containers of that same image and nowhere else;
here it is bounded, and no name of its choosing is written.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ipycontainer.failures import Failure, one_line
from ipycontainer_kernel.inject.probe import ALONE, UnfitPython

if TYPE_CHECKING:
    from ipycontainer_kernel.inject.probe import Facts
    from ipycontainer_kernel.inject.throwaway import Trial

_SECONDS, _LIMIT = 120.0, 128 << 20
_LEVELS = ("", ".opt-1", ".opt-2")  # PYTHONOPTIMIZE in their names: PEP 488
_MARK = "-- what follows is the archive --"  # the image's sitecustomize may print before it


def write(trial: Trial, facts: Facts, folder: Path) -> None:
    """Put the bytecode of what a kernel imports beside its sources in `folder`.

    It is also the trial of it: raises UnfitPython when ipykernel cannot be imported so.
    """
    from ipycontainer_kernel.inject import WHEELS

    code = resources.files("ipycontainer_kernel.inside").joinpath("compiling.py").read_text()
    ended = trial.run(
        [facts.executable, "-c", ALONE + code, WHEELS, _MARK],
        seconds=_SECONDS,
        limit=_LIMIT,
        binds=[f"{folder}:{WHEELS}:ro"],
    )
    if ended.code:
        said = one_line(ended.stderr.decode(errors="replace")[-300:])
        said = said or f"its python3 ended with exit code {ended.code}"
        raise UnfitPython(
            f"image {trial.image} cannot import the ipykernel that was found for it ({said}):"
            " update what is installed there, or install ipykernel in it"
        )
    _, _, archive = ended.stdout.partition(_MARK.encode())
    _unpack(archive, facts.tag, folder, trial.image)


def _unpack(archive: bytes, tag: str, folder: Path, image: str) -> None:
    expected = dict(_names(folder, tag))
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as tar:
            for entry in tar:
                place = expected.pop(entry.name, None)
                content = tar.extractfile(entry) if place and entry.isreg() else None
                if place and content:
                    place.parent.mkdir(exist_ok=True)
                    place.unlink(missing_ok=True)  # uv's own copy may be the same file
                    place.write_bytes(content.read())
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"python3 of image {image} sent no bytecode of what it imported") from error


def _names(folder: Path, tag: str) -> Iterator[tuple[str, Path]]:
    for source in folder.rglob("*.py"):
        for level in _LEVELS:
            place = source.parent / "__pycache__" / f"{source.stem}.{tag}{level}.pyc"
            yield str(place.relative_to(folder)), place
