"""Run by tests inside a container: what an engine there can do, as JSON. Arguments: an image."""

import io
import json
import sys

import docker

from ipycontainer_runtime import client

image = sys.argv[1]
engine = client.connect()
api = engine.api
alone = api.create_host_config(network_mode="none")
told: dict[str, object] = {}


def attempt(command: str) -> dict[str, object]:
    """Run a command, and return what it said or why it was refused."""
    try:
        made = api.create_container(image, ["sh", "-c", command], host_config=alone)
        engine.containers.get(made["Id"]).start()
    except docker.errors.APIError as error:
        return {"error": error.explanation}
    code = api.wait(made["Id"])["StatusCode"]
    output = api.logs(made["Id"]).decode()
    return {"id": made["Id"], "code": code, "output": output, "warnings": made["Warnings"]}


def built(base: str) -> str:
    """Build an image of two stages, and return what its steps said."""
    lines = (
        f"FROM {base} AS one\nRUN echo one > /one\n"
        f"FROM {base}\nCOPY --from=one /one /two\n"
        "RUN --mount=from=one,target=/m cat /m/one /two > /both && rm /bin/vi\n"
        "RUN cat /both; test ! -e /bin/vi && ls -d /m\n"
    )
    said = api.build(fileobj=io.BytesIO(lines.encode()), decode=True)
    return "".join(line.get("stream", line.get("error", "")) for line in said)


engine.images.pull(image)
told["images"] = [i.tags for i in engine.images.list()]
told["history"] = len(engine.images.get(image).history())
told["info"] = {k: v for k, v in engine.info().items() if k in ("Driver", "SecurityOptions")}
told["ran"] = ran = attempt("id -u; rm /etc/group; echo x >/made; test -r /proc/self/stat")
if "id" in ran:
    secret = {"SECRET": "hush"}
    other = api.create_container(image, ["sleep", "1000"], environment=secret)["Id"]
    engine.containers.get(other).start()
    told["execed"] = engine.containers.get(other).exec_run("id -u").output.decode()
    looking = "cat $p/environ >&2 && echo $p; readlink $p/root"
    told["spied"] = attempt(
        "read me rest </proc/self/stat; for p in /proc/[0-9]*; do "
        f"[ $p = /proc/$me ] || ({looking}); done 2>/dev/null; echo end"
    )
    engine.containers.get(other).kill()
    told["diff"] = engine.containers.get(ran["id"]).diff()
    engine.containers.get(ran["id"]).commit("committed")
    image = "committed"
    told["again"] = attempt("cat /made; ls /etc/group")
    told["built"] = built(sys.argv[1])
told["doctor"] = api._result(api._get(api._url("/ipycontainer/doctor")), True)
for container in api.containers(all=True):
    api.remove_container(container["Id"])
print(json.dumps(told))
