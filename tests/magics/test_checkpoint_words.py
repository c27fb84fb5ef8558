"""What is told of a checkpoint holds nothing that a terminal obeys."""

from ipycontainer import checkpoints


def test_a_files_name_is_one_line_without_escapes() -> None:
    change = {"Path": "/a\nD /etc\x1b]52;c;aGk=\x07", "Kind": "added", "Size": 0}
    counts = {"Added": 1, "Changed": 0, "Deleted": 0}
    assert checkpoints.details({**counts, "Changes": [change]}) == [
        "A /a D /etc\\x1b]52;c;aGk=\\x07"
    ]
