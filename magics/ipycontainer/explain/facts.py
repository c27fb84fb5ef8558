"""What the engine tells of a container, as sections of names and values for a person to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..units import binary_size, decimal_size

Document = Mapping[str, Any]

_NAMESPACES = {
    "cgroup": "which cgroup is the top",
    "ipc": "shared memory and message queues",
    "mnt": "what is mounted where",
    "net": "interfaces, routes, ports",
    "pid": "which processes there are",
    "time": "clocks since boot",
    "user": "which ids mean what",
    "uts": "the host name",
}
_CAPABILITY_SETS = ("Effective", "Bounding", "Ambient")


class Section(NamedTuple):
    """One kind of fact: a table under a title, with what it means in a sentence."""

    title: str
    meaning: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def sections(document: Document) -> list[Section]:
    """Return what is known, in the order in which it is made."""
    found = [_image(document["Image"]), _root(document["Root"])]
    facts = document.get("Facts")
    if facts is None:
        return [*found, _asked(document)]
    return [
        *found,
        _network(document, facts),
        _namespaces(facts),
        _ids(facts["IdMap"]),
        _mounts(facts["Mounts"]),
        _limits(document, facts["Limits"]),
        _capabilities(facts["Capabilities"]),
        _filter(document["Filter"], facts),
        _process(document, facts),
    ]


def _image(image: Document) -> Section:
    rows = [
        ["name", image["Name"], ""],
        ["digest", image["Digest"], ""],
        ["id", image["Id"], ""],
        *(
            [f"layer {number}", layer["CreatedBy"] or layer["Digest"], decimal_size(layer["Size"])]
            for number, layer in enumerate(image["Layers"], 1)
        ),
    ]
    return Section("Image", "What the name means: layers of files, lowest first.",
                   ("what", "value", "size"), rows)  # fmt: skip


def _root(root: Document) -> Section:
    rows = [
        ["driver", root["Driver"]],
        *([["upper", root["Upper"]]] if root["Upper"] else []),
        *([["work", root["Work"]]] if root["Work"] else []),
    ]
    if root.get("Volatile"):
        rows.append(["volatile", "what is written goes with the container: no disk waits for it"])
    return Section("Root file system", "The layers read-only, and one more to write in.",
                   ("what", "value"), rows)  # fmt: skip


def _asked(document: Document) -> Section:
    asked = document["Asked"]
    rows = [
        ["network", document["Network"]],
        ["limits", _flat(asked["Limits"]) or "none"],
        ["privileged", "yes" if asked["Privileged"] else "no"],
    ]
    return Section("Asked for", "What was asked for; what came of it was not looked at.",
                   ("what", "value"), rows)  # fmt: skip


def _flat(value: Any, name: str = "") -> str:
    if isinstance(value, Mapping):
        parts = (_flat(inner, f"{name}.{key}".lstrip(".")) for key, inner in value.items())
        return ", ".join(part for part in parts if part)
    return f"{name} {value}" if value not in (None, [], "", 0) else ""


def _network(document: Document, facts: Document) -> Section:
    rows = [["mode", document["Network"]], ["interfaces", ", ".join(facts["Interfaces"]) or "none"]]
    return Section("Network", "The interfaces that it sees.", ("what", "value"), rows)


def _namespaces(facts: Document) -> Section:
    rows = [
        [
            entry["Kind"],
            _NAMESPACES.get(entry["Kind"], ""),
            str(entry["Inside"]),
            str(entry["Outside"] or "unknown"),
            "own" if entry["Own"] else "shared with the engine",
        ]
        for entry in facts["Namespaces"]
    ]
    return Section("Namespaces", "Each is an inode; where inside and outside differ it is its own.",
                   ("kind", "what it separates", "inside", "outside", ""), rows)  # fmt: skip


def _ids(maps: Document) -> Section:
    rows = [
        [kind.lower(), str(entry["Inside"]), str(entry["Outside"]), str(entry["Count"])]
        for kind, entries in maps.items()
        for entry in entries
    ]
    return Section("Id map", "Which ids outside the ids of its user namespace are.",
                   ("of", "from inside", "is outside", "and so many"), rows)  # fmt: skip


def _mounts(mounts: Sequence[Document]) -> Section:
    rows = [
        [entry["Target"], entry["Type"], entry["Source"], entry["Part"], entry["Options"]]
        for entry in mounts
    ]
    return Section("Mounts", "As the kernel lists them; a later one hides an earlier one.",
                   ("at", "type", "source", "its part", "options"), rows)  # fmt: skip


def _limits(document: Document, limits: Document) -> Section:
    memory, cpus, pids = limits["Memory"], limits["Cpus"], limits["Pids"]
    cgroup = document["Cgroup"]
    rows = [
        ["cgroup", f"{cgroup['Name']} ({cgroup['Mode']})" if cgroup["Name"] else cgroup["Mode"]],
        ["memory", "no limit" if memory is None else binary_size(memory)],
        ["cpus", "no limit" if cpus is None else f"{cpus:g}"],
        ["pids", "no limit" if pids is None else str(pids)],
        *([name, value] for name, value in limits["Files"].items()),
    ]
    return Section("Limits", "How much of the machine it may use; files as the kernel has them.",
                   ("what", "value"), rows)  # fmt: skip


def _capabilities(sets: Document) -> Section:
    rows = [
        [name.lower(), str(len(sets[name])), " ".join(c.removeprefix("CAP_") for c in sets[name])]
        for name in _CAPABILITY_SETS
        if name in sets
    ]
    return Section("Capabilities", "Which of root's powers it has.",
                   ("set", "how many", "which"), rows)  # fmt: skip


def _filter(seccomp: Document, facts: Document) -> Section:
    columns = ("Calls", "Allowed", "Conditional", "Refused", "Faked")
    rows = [
        [entry["Architecture"], *(str(entry[column]) for column in columns)]
        for entry in seccomp.get("Architectures", ())
    ]
    meaning = "Which system calls the kernel takes from it, counted in the filter's own bytes."
    if not rows:
        mode = facts["SeccompMode"]
        meaning = "None: every system call is let through." if mode == 0 else "It was not counted."
    return Section("System-call filter", meaning,
                   ("architecture", "calls", "allowed", "by argument", "refused", "faked"),
                   rows)  # fmt: skip


def _process(document: Document, facts: Document) -> Section:
    user = facts["User"]
    groups = " ".join(map(str, user.get("Groups", ())))
    rows = [
        ["command", " ".join(document["Command"])],
        ["host name", document["Hostname"]],
        *([["user", f"{user['User']}:{user['Group']}"]] if user else []),
        *([["groups", groups]] if groups else []),
        ["new privileges", "none, ever" if facts["NoNewPrivileges"] else "by setuid programs"],
        *([["process outside", str(document["Pid"])]] if document["Pid"] else []),
    ]
    return Section("Process", "What is executed, and as whom.", ("what", "value"), rows)
