"""A volume plugin of folders, built on docker-plugin-api; a process of its own.

`python volumeplugin.py SOCKET FOLDER`: volumes are folders of FOLDER, and every call is a line of
`calls` there. A file `refuses` there has the name of a call that is answered with an error.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import flask
from docker_plugin_api import Plugin
from werkzeug.serving import run_simple

HOME = Path(sys.argv[2])
driver = Plugin.Blueprint("VolumeDriver", __name__)


def asked(*names: str) -> dict[str, Any]:
    """Return the call's body, noted down; InputValidationException where it is to be refused."""
    call = flask.request.path.rpartition(".")[2]
    body: dict[str, Any] = flask.request.get_json(force=True)
    with (HOME / "calls").open("a") as calls:
        calls.write(json.dumps([call, body]) + "\n")
    refuses = HOME / "refuses"
    if refuses.exists() and refuses.read_text() == call:
        raise Plugin.InputValidationException(f"{call} is refused here")
    for name in names:
        if name not in body:
            raise Plugin.InputValidationException(f"{call} lacks {name}")
    return body


def place(body: dict[str, Any], *, there: bool = True) -> Path:
    """Return the folder of a volume, which must be `there`."""
    found = HOME / "volumes" / body["Name"]
    if there and not found.is_dir():
        raise Plugin.InputValidationException(f"no volume {body['Name']}")
    return found


@driver.route("/VolumeDriver.Create", methods=["POST"])
def create() -> dict[str, Any]:
    """Make a folder; the option `content` becomes a file in it."""
    body = asked("Name")
    place(body, there=False).mkdir(parents=True, exist_ok=True)
    if content := (body.get("Opts") or {}).get("content"):
        (place(body) / "content").write_text(content)
    return {}


@driver.route("/VolumeDriver.Remove", methods=["POST"])
def remove() -> dict[str, Any]:
    """Remove the folder."""
    shutil.rmtree(place(asked("Name")))
    return {}


@driver.route("/VolumeDriver.Get", methods=["POST"])
def get() -> dict[str, Any]:
    """Describe one volume."""
    body = asked("Name")
    return {"Volume": described(place(body))}


@driver.route("/VolumeDriver.List", methods=["POST"])
def listed() -> dict[str, Any]:
    """Describe all volumes."""
    asked()
    folder = HOME / "volumes"
    return {"Volumes": [described(one) for one in sorted(folder.iterdir())]}


def described(folder: Path) -> dict[str, Any]:
    """Return what is told of a volume."""
    return {"Name": folder.name, "Mountpoint": str(folder), "Status": {"files": 1}}


@driver.route("/VolumeDriver.Path", methods=["POST"])
def path() -> dict[str, Any]:
    """Return where a volume is."""
    return {"Mountpoint": str(place(asked("Name")))}


@driver.route("/VolumeDriver.Mount", methods=["POST"])
def mount() -> dict[str, Any]:
    """Return where a volume is from now on."""
    return {"Mountpoint": str(place(asked("Name", "ID")))}


@driver.route("/VolumeDriver.Unmount", methods=["POST"])
def unmount() -> dict[str, Any]:
    """Do nothing: it is noted down."""
    place(asked("Name", "ID"))
    return {}


@driver.route("/VolumeDriver.Capabilities", methods=["POST"])
def capabilities() -> dict[str, Any]:
    """Say that other machines see the same volumes."""
    asked()
    return {"Capabilities": {"Scope": "global"}}


def main() -> None:
    """Serve until the process is ended."""
    (HOME / "volumes").mkdir()
    Plugin.functions.append("VolumeDriver")
    application = flask.Flask("volumeplugin")
    application.register_blueprint(Plugin.app)
    application.register_blueprint(driver)
    run_simple(f"unix://{sys.argv[1]}", 0, application, threaded=True)


if __name__ == "__main__":
    main()
