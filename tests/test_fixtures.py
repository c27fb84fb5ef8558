import json

from support.hosts import Host


def test_dockerd_runs_the_busybox_image(dockerd: Host, busybox: str) -> None:
    dockerd.succeed("pull", "-q", busybox)
    assert dockerd.succeed("run", "--rm", "--network", "none", busybox, "echo", "hi") == "hi"


def test_dockerd_runs_the_python_image(dockerd: Host, debian_python: str) -> None:
    dockerd.succeed("pull", "-q", debian_python)
    code = "import json, sys; print(json.dumps(sys.version_info[:1]))"
    said = dockerd.succeed("run", "--rm", "--network", "none", debian_python, "python3", "-c", code)
    assert json.loads(said) == [3]
