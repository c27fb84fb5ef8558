"""`build` and `debug`: the context that is sent, what the engine tells, and how it is shown.

`context` walks the folder, `request` makes the query, `messages` reads the answer into the model of
`steps`, and a view (`page` in a notebook, `lines` elsewhere) draws that. `failed` is what is told
of a build that failed, and what `debug` needs to enter the state before it.
"""
