"""Completion that leaves no files: jedi would write megabytes of them to the home at the first Tab.

They would be in each checkpoint, and in each image that is made of the container, where what they
spare is little: the same is kept in memory, and a container is gone before its cache is old.
"""

from typing import Any

_FILES = ("_load_from_file_system", "_save_to_file_system", "_remove_cache_and_update_lock")
"""Functions of parso.cache: each makes its folder. What is not in memory is parsed."""


def load_ipython_extension(shell: Any) -> None:
    """Have the first completion see to it, as what jedi parses with is slow to import."""
    kernel = shell.kernel
    complete = kernel.do_complete

    def first(*given: Any, **named: Any) -> Any:
        kernel.do_complete = complete
        keep_in_memory()
        return complete(*given, **named)

    kernel.do_complete = first


def keep_in_memory() -> None:
    """Have parso, jedi's parser, write no cache: it has no setting for that."""
    try:
        from parso import cache
    except ImportError:  # an IPython without jedi
        return
    for name in _FILES:
        setattr(cache, name, lambda *_given, **_named: None)
