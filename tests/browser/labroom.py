"""A real JupyterLab in a real browser: the server, and a notebook's page as a person has it."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import nbformat
import requests
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, expect, sync_playwright

from support import leftovers

CHECKOUT = Path(__file__).parents[2]
SECONDS = 60
CHROMIUM = "/usr/bin/chromium"
WIDE, NARROW = (1280, 800), (480, 800)
# Nothing but loopback: no updates, no accounts, and no HTTP/3.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Cells that are out of sight stay in the page, where a test finds them.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # Tests save when they mean to.
    "docmanager-extension/plugin": {"autosave": False},
}
# What no test looks at; the page is there sooner without.
_UNUSED = (
    "@jupyterlab/celltags-extension",
    "@jupyterlab/debugger-extension",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/help-extension",
    "@jupyterlab/hub-extension",
    "@jupyterlab/mermaid-extension",
    "@jupyterlab/pdf-extension",
    "@jupyterlab/terminal-extension",
    "@jupyterlab/tooltip-extension",
    "@jupyterlab/vega5-extension",
)
_CURRENT = "window.jupyterapp.shell.currentWidget"


class Lab:
    """A JupyterLab server in a folder, and with a token, of its own."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.files = folder / "files"
        self.data = folder / "data"
        """Where kernelspecs may be written that its launcher offers."""
        self._folder = folder
        self._token = secrets.token_hex(16)
        self._port = _free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *self._flags()],
            env={**variables, **self._places(), "JUPYTER_TOKEN": self._token},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._log: list[str] = []
        self._wait_until_it_listens()

    def _flags(self) -> list[str]:
        for name, values in _SETTINGS.items():
            file = self._folder / f"settings/@jupyterlab/{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        page = self._folder / "config/labconfig/page_config.json"
        page.parent.mkdir(parents=True)
        page.write_text(json.dumps({"disabledExtensions": dict.fromkeys(_UNUSED, True)}))
        self._install_extension()
        self.files.mkdir()
        return [
            "--no-browser",
            "--allow-root",
            "--expose-app-in-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self._port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={self.files}",
            "--LabApp.extension_manager=readonly",
        ]

    def _install_extension(self) -> None:
        """Put what the wheel has for JupyterLab where this one looks."""
        front = self._folder / "data/labextensions"
        front.mkdir(parents=True)
        (front / "ipycontainer-lab").symlink_to(CHECKOUT / "labextension/ipycontainer-lab")
        (self._folder / "config/jupyter_server_config.d").symlink_to(
            CHECKOUT / "labextension/jupyter_server_config.d"
        )

    def _places(self) -> dict[str, str]:
        folders = {
            "HOME": "home",
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        here = {name: str(self._folder / folder) for name, folder in folders.items()}
        packages = [str(CHECKOUT / name) for name in ("runtime", "magics", "kernel")]
        # Else a virtual environment's extensions come before those in these folders.
        here["JUPYTER_PREFER_ENV_PATH"] = "0"
        return {**here, "PYTHONPATH": os.pathsep.join(packages), "PYTHONDONTWRITEBYTECODE": "1"}

    def _wait_until_it_listens(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line)
            if f"127.0.0.1:{self._port}/lab?token=" in line:
                # Emptied for as long as it runs, or the server would wait for a reader.
                self._drain = _drained(self._process.stderr)
                return
        raise AssertionError("JupyterLab did not start:\n" + "".join(self._log[-20:]))

    def address(self, name: str) -> str:
        """Where a browser finds the notebook, in a workspace without other tabs."""
        return f"http://127.0.0.1:{self._port}/lab/tree/{name}?reset&token={self._token}"

    def ask(self, method: str, path: str, **settings: Any) -> requests.Response:
        """Ask the server, as who has its token does."""
        headers = {"Authorization": f"token {self._token}", **settings.pop("headers", {})}
        return requests.request(method, self.url(path), headers=headers, timeout=60, **settings)

    def url(self, path: str) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self._port}/{path}"

    def kernels(self) -> list[dict[str, Any]]:
        """The kernels that run."""
        return list(self.ask("GET", "api/kernels").json())

    def close(self) -> None:
        """End the server and its kernels; fails when one of them stays."""
        self._process.terminate()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drain.wait(SECONDS)
        kernels = leftovers.processes(self._folder)
        leftovers.kill(kernels)
        assert not leftovers.outlived(kernels)


def _drained(pipe: Any) -> subprocess.Popen[bytes]:
    drain = subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.DEVNULL)
    pipe.close()
    return drain


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running_lab(variables: Mapping[str, str]) -> Iterator[Lab]:
    """Yield a JupyterLab whose kernels use this checkout; its folder goes with it."""
    with tempfile.TemporaryDirectory(prefix="ipyc-lab", dir="/tmp") as folder:
        lab = Lab(Path(folder), variables)
        try:
            yield lab
        finally:
            lab.close()


@contextmanager
def running_browser() -> Iterator[Page]:
    """Yield a page of Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(_ARGUMENTS), chromium_sandbox=False
        )
        try:
            context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
            page = context.new_page()
            page.set_default_timeout(SECONDS * 1000)
            expect.set_options(timeout=SECONDS * 1000)
            yield page
        finally:
            browser.close()


class Notebook:
    """A notebook in a page. Cells are counted from 0; `page` is Playwright's."""

    def __init__(
        self, page: Page, lab: Lab, name: str, cells: tuple[str, ...], kernel: str = "python3"
    ) -> None:
        self.page, self._lab, self._name = page, lab, name
        self.path = lab.files / name
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel}},
        )
        nbformat.write(made, self.path)
        self.said: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", self._hear)
        if kernel == "python3":
            self.open()
        else:  # a page that is loaded already knows no kernel that was installed since
            self.reload()

    def _hear(self, said: ConsoleMessage | Error) -> None:
        self.said.append(said.text if isinstance(said, ConsoleMessage) else str(said))

    def open(self) -> None:
        """Have the notebook in the page, which is loaded where it shows none yet."""
        if self.page.evaluate("() => !window.jupyterapp"):
            self.reload()
            return
        self.command("docmanager:open", {"path": self._name})
        self.wait()

    def reload(self) -> None:
        """Load the page anew; the kernel goes on."""
        self.load()
        self.wait()

    def load(self) -> None:
        """Begin to load the page anew."""
        self.page.goto(self._lab.address(self._name))

    def reopen(self) -> None:
        """Close the notebook and open it again; the kernel goes on."""
        self.command("application:close-all")
        self.open()

    def wait(self) -> None:
        """Wait for this notebook and for its kernel."""
        self.page.wait_for_function(
            f"name => window.jupyterapp && {_CURRENT}?.context?.path === name"
            f" && {_CURRENT}.sessionContext.session?.kernel?.connectionStatus === 'connected'"
            f" && {_CURRENT}.sessionContext.session.kernel.info",
            arg=self._name,
        )
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")

    def cell(self, index: int) -> Locator:
        """A cell with its input and output."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """A cell's output area."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def view(self, index: int) -> Locator:
        """The outputs that a person sees: of a widget the view, and not the text kept beside it."""
        return self.output(index).locator(".jp-OutputArea-child:visible")

    def text(self, index: int) -> str:
        """What a person reads in a cell's output."""
        return self.output(index).inner_text()

    def begin(self, index: int) -> None:
        """Start a cell as Ctrl-Enter does, and do not wait for it."""
        self.page.evaluate(
            f"i => {{ {_CURRENT}.content.activeCellIndex = i;"
            " void window.jupyterapp.commands.execute('notebook:run-cell'); }",
            index,
        )
        self.page.wait_for_function(
            f"i => {_CURRENT}.content.widgets[i].model.executionCount"
            f" !== null || {_CURRENT}.content.widgets[i].prompt === '*'",
            arg=index,
        )

    def finish(self, index: int) -> str:
        """Wait until a cell that was begun has ended; return its output's text."""
        self.page.wait_for_function(
            f"i => /^[0-9]+$/.test({_CURRENT}.content.widgets[i].prompt)", arg=index
        )
        return self.text(index)

    def run(self, index: int) -> str:
        """Run a cell to its end; return its output's text."""
        self.begin(index)
        return self.finish(index)

    def question(self) -> Locator:
        """Wait for the box in which a running cell asks for a line."""
        box = self.page.locator("input.jp-Stdin-input")
        box.wait_for()
        return box

    def answer(self, line: str) -> None:
        """Answer the box, as a person types."""
        box = self.question()
        box.fill(line)
        box.press("Enter")

    def command(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Do what a menu of JupyterLab does, and wait until it is done."""
        self.page.evaluate(
            "([name, given]) => window.jupyterapp.commands.execute(name, given).then(() => null)",
            [name, dict(arguments or {})],
        )

    def interrupt(self) -> None:
        """Press the notebook's stop button."""
        self.command("notebook:interrupt-kernel")

    def save(self) -> nbformat.NotebookNode:
        """Save, and return what is in the file then."""
        self.page.evaluate(f"() => {_CURRENT}.context.save()")
        return nbformat.read(self.path, as_version=4)

    def look(self, theme: Literal["Light", "Dark"], size: tuple[int, int] = WIDE) -> None:
        """Have the page in a theme and a size."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
        wanted = "true" if theme == "Light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{wanted}']", state="attached")

    def screenshot(self, index: int, file: Path) -> None:
        """Keep a picture of a cell."""
        cell = self.cell(index)
        cell.scroll_into_view_if_needed()
        cell.screenshot(path=file, animations="disabled")

    def shutdown(self) -> None:
        """End the kernel."""
        self.page.evaluate(f"() => {_CURRENT}.sessionContext.shutdown()")

    def close(self) -> None:
        """End the kernel and close the notebook; the page is left for the next."""
        self.page.remove_listener("console", self._hear)
        self.page.remove_listener("pageerror", self._hear)
        self.shutdown()
        self.page.evaluate(f"() => {_CURRENT}.context.save()")
        self.command("application:close-all")
        self.look("Light")
