"""Defences against what a sandbox's container sends to the notebook."""

from defence import Defence

CODEC = "sandbox/test_codec.py::"
HOSTILE = "sandbox/test_hostile.py::"

DEFENCES = (
    Defence(
        "28",
        "a container's pickle is opened",
        "magics/sandbox/inside/codec.py",
        'if not self._pickles:\n            raise BadData("a pickle',
        'if False:\n            raise BadData("a pickle',
        (
            CODEC + "test_a_pickle_that_nobody_asked_for_is_not_opened",
            HOSTILE + "test_a_pickle_from_a_container_is_not_opened",
        ),
    ),
    Defence(
        "28",
        "an object of a container is markup",
        "magics/sandbox/shown.py",
        "if trusted and mime in _MARKUP",
        "if mime in _MARKUP",
        (CODEC + "test_markup_and_false_pictures_are_dropped_unless_the_sandbox_is_trusted",),
    ),
    Defence(
        "28",
        "a picture is something else",
        "magics/sandbox/shown.py",
        "if data.startswith(_MAGIC[mime]) else None",
        "if data else None",
        (CODEC + "test_markup_and_false_pictures_are_dropped_unless_the_sandbox_is_trusted",),
    ),
    Defence(
        "28",
        "an error of a container's code orders the terminal",
        "magics/sandbox/errors.py",
        'c if c.isprintable() or c == "\\n" else',
        "c if True else",
        (
            CODEC + "test_an_error_is_text_whatever_is_sent",
            CODEC + "test_text_of_an_object_moves_no_terminal",
        ),
    ),
    Defence(
        "28",
        "an error shows other lines than were sent",
        "magics/sandbox/errors.py",
        "if isinstance(file, str) and file in sources:",
        "if False:",
        (CODEC + "test_the_lines_of_an_error_are_those_that_were_sent",),
    ),
    Defence(
        "28",
        "a message is of any length",
        "magics/sandbox/channel.py",
        "if kind not in _KINDS or size > limit:",
        "if kind not in _KINDS:",
        (HOSTILE + "test_a_python_that_greets_wrongly_is_refused",),
    ),
    Defence(
        "28",
        "a value is nested without end",
        "magics/sandbox/inside/codec.py",
        'if self._depth > DEEPEST:\n            raise BadData("a value is nested',
        'if False:\n            raise BadData("a value is nested',
        (CODEC + "test_what_is_no_value_is_refused",),
    ),
)
