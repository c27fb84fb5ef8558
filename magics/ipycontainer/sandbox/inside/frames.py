"""Messages on a stream of bytes: one byte that says what, four of length, the bytes."""

import struct

HEAD = struct.Struct(">cI")
LARGEST = 512 << 20
"""Longer messages are not sent and, as the container may be hostile, not taken."""

HELLO = b"H"
"""From the interpreter, once: what it is."""
OUT, ERR = b"1", b"2"
"""From the interpreter: bytes that the program wrote."""
SHOW = b"S"
"""From the interpreter: an object to be displayed, described as a result is."""
RESULT = b"R"
"""From the interpreter, once for each EXECUTE: the value, or the error."""
ASK = b"A"
"""From the interpreter: the program waits for a line of the person's."""
ANSWER = b"L"
"""To the interpreter: that line, or that there is none and why."""
EXECUTE = b"X"
"""To the interpreter: code, and its inputs."""
INTERRUPT = b"I"
"""To the interpreter: stop the code of this number."""
