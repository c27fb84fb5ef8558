"""What runs on both sides: in the notebook's process, and sent as text to the container's Python.

So it is written in Python 3.6, without annotations that 3.6 cannot evaluate, and imports nothing
but the standard library and itself. `arrays` and `codec` turn values into bytes and back, `frames`
cuts the streams into messages, `asking` has the program's questions put, `showing` gathers what an
object looks like, `agent` is the interpreter's own loop.
"""

ORDER = ("arrays", "codec", "frames", "asking", "showing", "agent")
"""The modules in the order in which they import one another."""
