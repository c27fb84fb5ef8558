from pathlib import Path

import pytest
from archives import Unpacker


@pytest.fixture
def unpack(tmp_path: Path) -> Unpacker:
    return Unpacker(tmp_path)
