"""What an object looks like: its value as data, else its text and what front ends show."""

import importlib.util
import io
import sys
from typing import Any, Callable

from .codec import Encoder, NotData, type_name

LONGEST_TEXT = 1 << 20
LARGEST_PICTURE = 20 << 20
_PICTURES = (("image/png", "_repr_png_"), ("image/jpeg", "_repr_jpeg_"))
_MARKUP = (
    ("text/html", "_repr_html_"),
    ("image/svg+xml", "_repr_svg_"),
    ("text/markdown", "_repr_markdown_"),
    ("text/latex", "_repr_latex_"),
)
BACKEND = "ipycontainer_figures"


def described(value: Any, encoder: Encoder, markup: bool) -> Any:
    """Return `{"value": tree}` or, of what is no data, `{"opaque": …}` with its forms.

    With `markup` those are among them that a page would obey.
    """
    try:
        return {"value": encoder.encode(value)}
    except NotData as reason:
        forms = {}
        for mime, method in _PICTURES + (_MARKUP if markup else ()):
            found = _form(value, method)
            if found is not None:
                forms[mime] = encoder.keep(found)
        return {"opaque": _opaque(type_name(value), text_of(value), forms, str(reason))}


def _opaque(kind: str, text: str, forms: "dict[str, int]", why: str) -> Any:
    return {"type": kind, "text": text, "forms": forms, "why": why}


def text_of(value: Any) -> str:
    """Return an object's repr, cut where it is endless."""
    try:
        text = repr(value)
    except Exception as error:
        text = "<{} whose repr failed: {}>".format(type_name(value), type_name(error))
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def _form(value: Any, method: str) -> "bytes | None":
    if isinstance(value, type):
        return None
    try:
        found = getattr(value, method)()
    except Exception:
        return None  # it has no such form, or cannot make it: the others are shown
    if isinstance(found, tuple):
        found = found[0]  # with metadata
    data = found.encode("utf-8", "replace") if isinstance(found, str) else found
    return data if isinstance(data, bytes) and len(data) <= LARGEST_PICTURE else None


def figures(show: "Callable[[Any, list[Any]], None]") -> None:
    """Hand on every open figure of matplotlib as a picture, and close it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", bbox_inches="tight")
        pyplot.close(figure)
        kind = "matplotlib.figure.Figure"
        show({"opaque": _opaque(kind, str(figure), {"image/png": 0}, "")}, [picture.getvalue()])


class Backend:
    """Finds and loads matplotlib's backend of our name when matplotlib asks for it.

    It draws as matplotlib's own Agg does, and its `show` sends the pictures to the cell.
    """

    def __init__(self, flush: "Callable[[], None]") -> None:
        self._flush = flush

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Be the finder of one module."""
        return importlib.util.spec_from_loader(name, self) if name == BACKEND else None  # type: ignore[arg-type] # a loader by its two methods

    def create_module(self, _spec: Any) -> None:
        """Leave the making to Python."""

    def exec_module(self, module: Any) -> None:
        """Fill the module, which matplotlib reads by its names."""
        from matplotlib.backends import backend_agg

        module.FigureCanvas = backend_agg.FigureCanvasAgg
        module.show = lambda *_arguments, **_options: self._flush()
