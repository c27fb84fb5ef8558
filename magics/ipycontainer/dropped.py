"""A `%container ps` in the middle of a cell is shown too, and a last one once.

IPython displays a cell's last expression and drops the values of the others. A person expects a
table from every line that asks for one, so those whose value would be dropped are shown.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MAGIC = "container"


def display_listing(value: object) -> None:
    """Display a listing, and nothing else: other values would be dropped anywhere in a cell."""
    from IPython.display import display

    from .listing import Listing

    if isinstance(value, Listing):
        display(value)  # type: ignore[no-untyped-call] # IPython's is untyped


class ShowDropped(ast.NodeTransformer):
    """Wraps each magic of ours whose value a cell drops; IPython applies it to every cell.

    `reach` is the expression that finds `display_listing` from the notebook's namespace.
    """

    def __init__(self, shell: InteractiveShell, reach: str) -> None:
        self._shell = shell
        self._reach = reach
        self._displayed: ast.stmt | None = None

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Leave alone what IPython itself displays."""
        if self._shell.ast_node_interactivity == "all":
            return node
        self._displayed = node.body[-1] if node.body else None
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        """Wrap the statement if it is our magic and its value is dropped."""
        if node is not self._displayed and _is_ours(node.value):
            wrapped = ast.parse(f"{self._reach}(None)", mode="eval").body
            assert isinstance(wrapped, ast.Call)
            wrapped.args = [node.value]
            node.value = ast.copy_location(wrapped, node.value)
            ast.fix_missing_locations(node)
        return node


def _is_ours(value: ast.expr) -> bool:
    if not (isinstance(value, ast.Call) and value.args):
        return False
    function, name = value.func, value.args[0]
    return (
        isinstance(function, ast.Attribute)
        and function.attr in {"run_line_magic", "run_cell_magic"}
        and isinstance(name, ast.Constant)
        and name.value == _MAGIC
    )
