"""Two runs of a cell are the same or not, whatever passing things they say."""

import base64
import io
from typing import Any

import nbformat
import pytest

from ipycontainer_kernel.notebooks.compare import AGAIN, SAVED, differences
from ipycontainer_kernel.notebooks.outputs import lines

v4 = nbformat.v4


def stream(text: str, name: str = "stdout") -> Any:
    return v4.new_output("stream", name=name, text=text)


def shown(**data: Any) -> Any:
    kinds = {key.replace("_", "/", 1): value for key, value in data.items()}
    return v4.new_output("display_data", data=kinds)


def notebook(*outputs: Any) -> Any:
    cell = v4.new_code_cell("\nfirst line\nsecond", outputs=list(outputs))
    return v4.new_notebook(cells=[v4.new_markdown_cell("text"), cell])


def picture(colour: str, **told: str) -> str:
    image = pytest.importorskip("PIL.Image")
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in told.items():
        info.add_text(key, value)
    file = io.BytesIO()
    image.new("RGB", (4, 3), colour).save(file, "PNG", pnginfo=info)
    return base64.b64encode(file.getvalue()).decode()


SAME = {
    "a stream in pieces": ([stream("a"), stream("b\n")], [stream("ab\n")]),
    "two streams mixed otherwise": (
        [stream("a\n"), stream("x", "stderr"), stream("b\n")],
        [stream("a\nb\n"), stream("x", "stderr")],
    ),
    "addresses": ([stream("<A at 0x7f001122aabb>")], [stream("<A at 0x7fff1122aabb>")]),
    "widgets": (
        [shown(**{"application_vnd.jupyter.widget-view+json": {"model_id": "a"}})],
        [shown(**{"application_vnd.jupyter.widget-view+json": {"model_id": "b"}})],
    ),
    "a bar that was drawn over": ([stream("10%\r50%\r99%\n")], [stream("20%\r99%\n")]),
    "counts in a traceback": (
        [v4.new_output("error", ename="E", evalue="v", traceback=["Cell In[1], line 1"])],
        [v4.new_output("error", ename="E", evalue="v", traceback=["Cell In[7], line 1"])],
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_passes_is_no_difference(case: str) -> None:
    before, after = SAME[case]
    assert lines(before) == lines(after)


def test_a_picture_counts_by_its_pixels() -> None:
    old = shown(image_png=picture("red", Software="one"))
    assert lines([old]) == lines([shown(image_png=picture("red", Software="two"))])
    assert lines([old]) != lines([shown(image_png=picture("blue", Software="one"))])


def test_a_broken_picture_counts_by_its_bytes() -> None:
    broken = [shown(image_png=base64.b64encode(data).decode()) for data in (b"no", b"none")]
    assert lines([broken[0]]) != lines([broken[1]])
    assert "2 bytes" in lines([broken[0]])[0]


def test_a_difference_names_the_cell_and_shows_both() -> None:
    found = list(differences(notebook(stream("a\n1\n")), notebook(stream("a\n2\n")), SAVED))
    assert [(one.cell, one.source, one.between) for one in found] == [(2, "first line", SAVED)]
    assert "-stdout: 1" in found[0].diff
    assert "+stdout: 2" in found[0].diff


def test_an_order_of_outputs_counts() -> None:
    one, two = shown(text_plain="1"), shown(text_plain="2")
    assert list(differences(notebook(one, two), notebook(two, one), AGAIN))


def test_a_difference_holds_nothing_that_a_terminal_obeys() -> None:
    hostile = "\x1b]52;c;aGk=\x07\x1b[2J\x1b[31mred\x9b"
    kinds = shown(**{"text_plain": hostile, f"x/{hostile}": hostile})
    error = v4.new_output("error", ename=hostile, evalue=hostile, traceback=[hostile])
    told = "\n".join(lines([stream(hostile), kinds, error]))
    assert "red" in told
    assert not {"\x1b", "\x07", "\x9b"} & set(told)


def test_a_long_difference_is_cut_and_says_so() -> None:
    new = notebook(stream("".join(f"{n}\n" for n in range(500)) + "x" * 100_000))
    (found,) = differences(notebook(), new, AGAIN)
    assert found.diff[-1].endswith("lines more")
    assert max(map(len, found.diff)) <= 400


def test_a_long_line_full_of_slashes_is_read_in_one_go() -> None:
    # As a picture in HTML is, in base64. Looked through again at each slash it takes hours.
    text = "<img src='data:image/png;base64," + "/9j/4AAQSkZJRgABAQ" * 200_000
    (line,) = lines([shown(text_html=text)])
    assert len(line) > len(text)


def test_the_file_of_a_cell_is_not_told_wherever_it_stands() -> None:
    paths = ("/tmp/ipykernel_1/22.py", "/var/a-b/x.y/ipykernel_333/4.py")
    one, two = (lines([stream(f'File "{path}", line 1\n({path}:2)\n')]) for path in paths)
    assert one == two
