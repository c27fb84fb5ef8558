"""The lock of an image: every distribution in it, as `pylock.toml` and as requirements.

Source: the packaging specification "pylock.toml" (PEP 751). An installation remembers its version,
not the file of an index that it came from: such a package has no source there, and what is known of
its files is under `tool`. Where it was installed from a URL, archive, folder or repository, the
lock says so, with the hash that the installer kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ipycontainer_runtime.capture.distributions import CONDA, Distribution
from ipycontainer_runtime.capture.interpreter import Interpreter

FOLDER = "/usr/share/ipycontainer"
PYLOCK = f"{FOLDER}/pylock.toml"
REQUIREMENTS = f"{FOLDER}/requirements.txt"
TOOL = "ipycontainer"
_HASHES = ("sha256", "sha384", "sha512")


def pylock(python: Interpreter, distributions: Sequence[Distribution]) -> str:
    """Return the lock as the text of a `pylock.toml`, the same for the same environment."""
    conda = [one for one in distributions if one.installer == "conda"]
    top: dict[str, Any] = {
        "lock-version": "1.0",
        "environments": [
            f"python_full_version == '{python.release}' and sys_platform == 'linux'"
            f" and platform_machine == '{python.machine}'"
        ],
        "requires-python": f"=={python.version}.*",
        "created-by": TOOL,
    }
    blocks = [_table("", top)]
    for one in distributions:
        if one.installer != "conda":
            blocks += _package(one)
    about: dict[str, Any] = {
        "python": python.release,
        "implementation": python.implementation,
        "platform": python.platform,
        "prefix": python.prefix,
    }
    if conda:
        # A Python distribution that conda put there is told by the package that had it.
        packages = [one for one in conda if one.name.startswith(CONDA)]
        owned = {path for one in packages for path in one.files}
        others = [one for one in conda if one not in packages and owned.isdisjoint(one.files)]
        about["conda"] = [_conda(one) for one in (*others, *packages)]
    return "\n".join([*blocks, _table(f"[tool.{TOOL}]", about)])


def requirements(distributions: Sequence[Distribution]) -> str:
    """Return what `pip install -r` takes; a line that it cannot take is a comment."""
    lines = [_requirement(one) for one in distributions if one.installer != "conda"]
    return "".join(f"{line}\n" for line in lines)


def _package(one: Distribution) -> list[str]:
    entry: dict[str, Any] = {"name": one.name}
    source = _source(one)
    # A source tree may have any version by the time it is installed from again.
    if one.version and not {"vcs", "directory"} & source.keys():
        entry["version"] = one.version
    if one.requires_python:
        entry["requires-python"] = one.requires_python
    about: dict[str, Any] = {"version": one.version} if "version" not in entry else {}
    for name, value in (
        ("installer", one.installer),
        ("tags", list(one.tags)),
        ("record-sha256", one.record),
    ):
        if value:
            about[name] = value
    blocks = [_table("[[packages]]", entry)]
    blocks += [_table(f"[packages.{name}]", value) for name, value in source.items()]
    return [*blocks, _table(f"[packages.tool.{TOOL}]", about)]


def _source(one: Distribution) -> dict[str, Any]:
    """Return `vcs`, `directory` or `archive` of what PEP 610 says; nothing for an index's."""
    url = str(one.origin.get("url", ""))
    below = {"subdirectory": one.origin["subdirectory"]} if one.origin.get("subdirectory") else {}
    if (vcs := one.origin.get("vcs_info")) and vcs.get("commit_id") and vcs.get("vcs"):
        asked = {"requested-revision": r} if (r := vcs.get("requested_revision")) else {}
        return {
            "vcs": {"type": vcs["vcs"], "url": url, **asked, "commit-id": vcs["commit_id"], **below}
        }
    if "dir_info" in one.origin:
        editable = {"editable": True} if one.editable else {}
        return {"directory": {"path": url.removeprefix("file://"), **editable, **below}}
    if url and (hashes := _hashes(one)):
        place = {"path": url.removeprefix("file://")} if url.startswith("file://") else {"url": url}
        return {"archive": {**place, "hashes": hashes, **below}}
    return {}


def _hashes(one: Distribution) -> dict[str, str]:
    said = one.origin.get("archive_info") or {}
    hashes = dict(said.get("hashes") or {})
    kind, equals, value = str(said.get("hash") or "").partition("=")
    if equals:
        hashes.setdefault(kind, value)
    return {k: str(v) for k, v in sorted(hashes.items()) if k in _HASHES}


def _requirement(one: Distribution) -> str:
    source, url = _source(one), str(one.origin.get("url", ""))
    if "vcs" in source:
        vcs = source["vcs"]
        below = f"#subdirectory={vcs['subdirectory']}" if "subdirectory" in vcs else ""
        return f"{one.name} @ {vcs['type']}+{vcs['url']}@{vcs['commit-id']}{below}"
    if "archive" in source:
        hashes = "".join(f" --hash={k}:{v}" for k, v in source["archive"]["hashes"].items())
        return f"{one.name} @ {url}{hashes}"
    if "directory" in source:
        return f"# {one.title}, installed from the folder {source['directory']['path']}"
    return f"{one.name}=={one.version}" if one.version else f"# {one.name}"


def _conda(one: Distribution) -> str:
    hashed = f"#sha256:{one.origin['sha256']}" if one.origin.get("sha256") else ""
    return str(one.origin.get("url") or one.title.removeprefix(CONDA)) + hashed


def _table(header: str, fields: Mapping[str, Any]) -> str:
    lines = [header] if header else []
    return "".join(
        f"{line}\n" for line in (*lines, *(f"{k} = {_value(v)}" for k, v in fields.items()))
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k} = {_value(v)}' for k, v in value.items())}}}"
    return _string(str(value))


def _string(text: str) -> str:
    """Return a basic string of TOML 1.0."""
    told = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in told) + '"'
