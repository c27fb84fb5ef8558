"""An image made of the environment that a notebook runs in: its Python, a shell, their libraries.

`interpreter` says what belongs to a Python, `system` what a small system needs beside it,
`libraries` finds the shared libraries that both load, `tree` collects the paths, `archive` streams
them as a tar. What is taken is listed here; nothing else of the host is: no home, no /etc/shadow,
no key, no configuration of the environment, no variable.
"""
