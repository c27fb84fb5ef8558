"""An image made of the environment that a notebook runs in: its Python, a shell, their libraries.

`plan` says which layers there are. Below it, `interpreter` says what belongs to a Python, `system`
what a small system needs beside it, `distributions` what is installed and `sites` which files that
are, `grouping` which of them share a layer, `libraries` what shared libraries all that loads, and
`code` what is taken of a person's own. `lock` writes down every distribution. A `tree` is one
layer's paths. What is taken is listed here; nothing else of the host is: no home, no /etc/shadow,
no key (`secrets`), no configuration of the environment, no variable.
"""
