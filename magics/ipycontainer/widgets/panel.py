"""What the widgets share: a form, its parts, and what is left of them in a saved notebook."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, Layout, VBox

from ..preferences import Preferences, stored
from .bundles import Place, still, view
from .parts import Part

if TYPE_CHECKING:
    from ipywidgets import Widget

WIDE = Layout(width="auto")
NARROW = Layout(width="17em")


class Panel(VBox):  # type: ignore[misc] # ipywidgets publishes no types
    """A widget of ours. Beside its view a notebook keeps `text()` and `html()` of it."""

    children: tuple[Widget, ...]

    def __init__(self, *children: Widget) -> None:
        super().__init__(children, layout=Layout(width="100%", overflow="visible"))
        self._place: Place | None = None

    def text(self) -> str:
        """Return what a notebook keeps as text."""
        raise NotImplementedError

    def html(self) -> str | None:
        """Return what a notebook keeps as a page, None for the text; never a program's markup."""
        return None

    def _repr_mimebundle_(self, **_given: Any) -> dict[str, Any]:
        """Return the view and its still form; for those who want one bundle of a value."""
        return {**view(self.model_id), **still(self.text(), self.html())}

    def _ipython_display_(self) -> None:
        """Display the widget, and beside it its still form."""
        self._place = Place(self.model_id, self._tell)
        self.keep()

    def keep(self) -> None:
        """Have the notebook keep the still form as it is now; from any thread."""
        if self._place is not None:
            self._place.show(self.text(), self.html())

    def _tell(self, message: dict[str, Any]) -> None:
        next(child for child in self.children if isinstance(child, Part)).send(message)

    def close(self) -> None:
        """Close the parts too."""
        for child in self.children:
            child.close()
        super().close()


def preferences() -> Preferences:
    """Return the notebook's preferences, or what the files say where there is no magic."""
    from IPython.core.getipython import get_ipython

    from ..magic import ContainerMagics

    shell = get_ipython()
    magics = shell and shell.magics_manager.registry.get(ContainerMagics.__name__)
    return magics.preferences.current() if isinstance(magics, ContainerMagics) else stored()


def push_button(text: str, press: Callable[[], None], *, style: str = "") -> Button:
    """Return a labelled button; `style` is ipywidgets' (primary, danger)."""
    layout = Layout(width="auto", flex="0 0 auto")
    found = Button(description=text, button_style=style, layout=layout)
    found.on_click(lambda _button: press())
    return found


def code(text: str) -> HTML:
    """Return a line of code to look at and to copy."""
    return HTML(value=code_html(text))


def code_html(text: str) -> str:
    """Return the markup of a line of code."""
    return f"<code style='overflow-wrap:anywhere;white-space:pre-wrap'>{escape(text)}</code>"
