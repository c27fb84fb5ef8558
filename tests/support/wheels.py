"""Wheels for `pip`, made here."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, module: str) -> None:
    """Write a wheel of one module."""
    metadata = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": module,
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{metadata}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = io.StringIO()
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.write(f"{file},sha256={digest.decode()},{len(text)}\n")
    files[f"{metadata}/RECORD"] = record.getvalue() + f"{metadata}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
