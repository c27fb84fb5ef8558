"""numpy, pandas and matplotlib of this environment work in Docker's engine, and in ours."""

import sys

import pytest
from captureroom import capture

from support.engines import Engine
from support.hosts import Host
from support.registry import Registry

WORK = """
import io
import numpy as np
import pandas as pd
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
assert np.allclose(np.linalg.solve(matrix, [3.0, 5.0]), [0.8, 1.4])
assert np.allclose(np.linalg.eigvalsh(matrix).sum(), 5.0)
big = np.random.default_rng(1).normal(size=(200, 200))
assert np.allclose(big @ np.linalg.inv(big), np.eye(200))
table = pd.read_csv(io.StringIO("kind,size\\na,1\\nb,2\\na,3\\n"))
assert table.groupby("kind")["size"].sum().to_dict() == {"a": 4, "b": 2}
assert str(pd.Timestamp("2024-07-01", tz="Europe/Paris").utcoffset()) == "2:00:00"
figure, axes = plt.subplots()
axes.plot([1, 2, 3], [1, 4, 9], label="f(x) = $x^2$")
axes.legend()
for kind, start in (("png", b"\\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    assert out.getvalue().startswith(start) and len(out.getvalue()) > 5000
print(np.__version__, pd.__version__, matplotlib.__version__)
"""
WANTED = ("numpy", "pandas", "matplotlib", "pip")
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def captured(engine: Engine) -> Engine:
    """The engine, with the image `science`."""
    capture(engine, "science", sys.executable, include=WANTED)
    return engine


def versions() -> str:
    from importlib.metadata import version

    return " ".join(version(name) for name in ("numpy", "pandas", "matplotlib"))


def test_they_work_here(captured: Engine) -> None:
    output = captured.client.containers.run(
        "science", ["python", "-c", WORK], network_mode="none", remove=True
    )
    assert output.decode().strip() == versions()


@pytest.mark.needs("dockerd", "docker-registry")
def test_they_work_in_docker_s_engine_that_pulled_them(
    captured: Engine, dockerd: Host, registry: Registry
) -> None:
    name = registry.name("science")
    image = captured.client.images.get("science")
    assert image.tag(name)
    for line in captured.client.images.push(name, stream=True, decode=True):
        assert "error" not in line
    dockerd.succeed("pull", "--quiet", name)
    try:
        said = dockerd.succeed(*RUN, "--user", "1000", name, "python", "-c", WORK)
        assert said.strip().splitlines()[-1] == versions()
        listed = dockerd.succeed(*RUN, name, "python", "-m", "pip", "list", "--format", "freeze")
        lock = dockerd.succeed(*RUN, name, "cat", "/usr/share/ipycontainer/requirements.txt")
        assert {line.lower().replace("_", "-") for line in listed.split()} == set(lock.split())
        layers = dockerd.succeed("inspect", "--format", "{{json .RootFS.Layers}}", name)
        assert layers.count("sha256:") == len(image.attrs["RootFS"]["Layers"])
    finally:
        dockerd.succeed("rmi", name)
        captured.client.images.remove(name)
