"""The threads that feed widgets: they look while somebody sees them, and hold nothing after."""

import pytest
from cells import Box, Kernel, errors, streamed

# A page's words, without a page.
WATCHED = """
import threading
from docker import DockerClient
from ipycontainer.widgets import Containers, Stats
looked, closed = threading.Event(), threading.Event()
def close(client, before=DockerClient.close):
    before(client)
    if threading.current_thread().name == "{name}":
        closed.set()
DockerClient.close = close
[part] = {widget}().children
part.observe(lambda _change: looked.set(), ["rows", "summary", "caption"])
say = lambda **said: part.presence.hear(None, {{"kind": "presence", "view": "one", **said}}, None)
for _ in range(2):
    looked.clear()
    closed.clear()
    part.caption = ""
    looked.clear()
    say(seen=True)
    print(looked.wait(60), part.summary)
    say(seen=False, gone=True)
    print(closed.wait(60))
for thread in threading.enumerate():
    if thread.name == "{name}":
        thread.join(60)
        print(not thread.is_alive(), "no thread waits for what nobody sees")
"""


@pytest.mark.parametrize(("widget", "name"), [("Containers", "containers"), ("Stats", "stats")])
def test_who_is_not_seen_keeps_no_connection_and_makes_another(
    box: Box, kernel: Kernel, widget: str, name: str
) -> None:
    ran = kernel.run(WATCHED.format(widget=widget, name=name))
    assert errors(ran) == []
    told = streamed(ran, "stdout").splitlines()
    assert len(told) >= 4
    assert {line.split()[0] for line in told} == {"True"}
    assert "'bad': True" not in streamed(ran, "stdout")
