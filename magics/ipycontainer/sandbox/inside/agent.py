"""The interpreter in the container: reads code as data, runs it, and tells what became of it.

Started by `start.BOOT`, which executes these modules. The main thread runs the code, one thread
reads what comes from the notebook, another passes on what the program writes to descriptors 1
and 2. When the notebook's end of the stream is closed, the process ends.
"""

import ast
import linecache
import os
import queue
import select
import signal
import sys
import threading
import traceback
import types
from typing import Any, BinaryIO

from . import asking, codec, frames, showing

_CHUNK = 1 << 16
_MOST_FRAMES, _MOST_CAUSES = 40, 8
_OOM_COUNTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class Outgoing:
    """The stream to the notebook, whole messages of several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._process = os.getpid()

    def send(self, kind: bytes, *pieces: Any) -> None:
        """Send one message."""
        if os.getpid() != self._process:
            os._exit(0)  # a fork of the program's that came back into our loop
        size = sum(len(piece) for piece in pieces)
        data = b"".join([frames.HEAD.pack(kind, size), *pieces])
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]


class Output:
    """Descriptors 1 and 2, as pipes whose other ends become messages."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._readers = {}  # type: dict[int, bytes]
        for descriptor, kind in ((1, frames.OUT), (2, frames.ERR)):
            reader, writer = os.pipe()
            os.dup2(writer, descriptor)
            os.close(writer)
            os.set_blocking(reader, False)
            self._readers[reader] = kind
        sys.stdout = _text_stream(1)
        sys.stderr = _text_stream(2)
        threading.Thread(target=self._pass_on, daemon=True).start()

    def flush(self) -> None:
        """Send all that was written until now, of endless output a pipe's worth."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: S112 - the program has put something else there, or closed it
                continue
        with self._lock:
            for reader in self._readers:
                for _ in range(32):
                    if not self._read(reader):
                        break

    def _pass_on(self) -> None:
        poll = select.poll()
        for reader in self._readers:
            poll.register(reader, select.POLLIN)
        while True:
            for reader, events in poll.poll():
                with self._lock:
                    if not self._read(reader) and events & select.POLLHUP:
                        poll.unregister(reader)  # the program has closed the descriptor

    def _read(self, reader: int) -> bool:
        try:
            data = os.read(reader, _CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._outgoing.send(self._readers[reader], data)
        return bool(data)


def _text_stream(descriptor: int) -> Any:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


class Interrupts:
    """SIGINT, raised in the program alone: once for each code, and never in the loop around it."""

    def __init__(self) -> None:
        self.number = -1
        """The number of the code that is to be stopped."""
        self._running = -1
        self._held = 0
        self._missed = False

    def enter(self, number: int) -> None:
        """Let this code be interrupted from now on, by what came already too."""
        signal.signal(signal.SIGINT, self._on_signal)
        self._missed = False
        self._running = number
        if self.number == number:
            self.leave()
            raise KeyboardInterrupt

    def leave(self) -> None:
        """Let it be interrupted no more."""
        self._running = -1

    def ask(self, number: int) -> None:
        """Stop this code; called by the thread that reads."""
        self.number = number
        if self._running == number:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def __enter__(self) -> None:
        """Hold interrupts back while a message is written: half of one would end the stream."""
        self._held += _is_main()

    def __exit__(self, *_error: Any) -> None:
        self._held -= _is_main()
        if self._missed and not self._held and _is_main():
            self._missed = False
            self._on_signal()

    def _on_signal(self, *_arguments: Any) -> None:
        if self._held:
            self._missed = True
        elif self._running >= 0:
            self.leave()
            raise KeyboardInterrupt


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


class Agent:
    """The loop: one request after the other, in one namespace."""

    def __init__(self, incoming: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = Outgoing(os.dup(1))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._output = Output(self._outgoing)
        self._interrupts = Interrupts()
        self._questions = asking.Questions(self._tell, self._output.flush)
        self._requests = queue.Queue()  # type: queue.Queue[bytes]
        self._pickles = False
        self._program = types.ModuleType("__main__")
        self._program.__dict__["display"] = self.display
        sys.modules["__main__"] = self._program
        sys.meta_path.append(showing.Backend(self._figures))
        os.environ.setdefault("MPLBACKEND", "module://" + showing.BACKEND)
        sys.path.insert(0, "")

    def serve(self) -> None:
        """Say hello and answer requests until the process ends."""
        hello = {
            "python": "{}.{}.{}".format(*sys.version_info[:3]),
            "pid": os.getpid(),
            "oom": _oom_kills(),
        }
        self._outgoing.send(frames.HELLO, *codec.pack(hello, []))
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            self._answer(*codec.unpack(self._requests.get()))

    def display(self, *values: Any) -> None:
        """Show objects in the notebook's cell; the program has it as `display`."""
        for value in values:
            encoder = codec.Encoder(False)
            self._show(showing.described(value, encoder, self._pickles), encoder.blobs)

    def _read(self) -> None:
        while True:
            head = self._incoming.read(frames.HEAD.size)
            if len(head) < frames.HEAD.size:
                os._exit(0)  # the notebook has gone
            kind, size = frames.HEAD.unpack(head)
            body = self._incoming.read(size)
            if kind == frames.EXECUTE:
                self._requests.put(body)
            elif kind == frames.INTERRUPT:
                self._interrupts.ask(codec.unpack(body)[0]["number"])
            elif kind == frames.ANSWER:
                self._questions.answer(body)

    def _tell(self, kind: bytes, *pieces: Any) -> None:
        with self._interrupts:
            self._outgoing.send(kind, *pieces)

    def _answer(self, request: "dict[str, Any]", blobs: "list[memoryview]") -> None:
        self._pickles = request["pickles"]
        encoder = codec.Encoder(self._pickles)
        try:
            try:
                self._interrupts.enter(request["number"])
                reply = self._ran(request, blobs, encoder)
            finally:
                self._interrupts.leave()
        except BaseException as error:  # SystemExit and KeyboardInterrupt end the code, not us
            reply, encoder = {"error": _described_error(error)}, codec.Encoder(False)
        self._output.flush()
        number = request["number"]
        try:
            packet = codec.pack(dict(reply, number=number), encoder.blobs)
        except codec.NotData as reason:
            packet = codec.pack({"number": number, "large": str(reason)}, [])
        if sum(len(piece) for piece in packet) > frames.LARGEST:
            most = "it has more than {} MB".format(frames.LARGEST >> 20)
            packet = codec.pack({"number": number, "large": most}, [])
        self._outgoing.send(frames.RESULT, *packet)

    def _ran(
        self, request: "dict[str, Any]", blobs: "list[memoryview]", encoder: codec.Encoder
    ) -> "dict[str, Any]":
        names = self._program.__dict__
        decoder = codec.Decoder(blobs, pickles=True)
        for name, tree in request["inputs"].items():
            try:
                names[name] = decoder.decode(tree)
            except (ImportError, codec.NotData, codec.BadData) as error:
                return {"refused": name, "why": str(error)}
        value = self._executed(request["code"], request["file"])
        self._figures()
        missing = [name for name in request["outputs"] if name not in names]
        if missing:
            return {"missing": missing}
        markup = self._pickles
        return {
            "result": showing.described(value, encoder, markup),
            "outputs": {
                name: showing.described(names[name], encoder, markup) for name in request["outputs"]
            },
        }

    def _executed(self, code: str, file: str) -> Any:
        """Run code and return the value of its last expression; a `;` at the end drops it."""
        names = self._program.__dict__
        # Tracebacks and `inspect` find the lines there.
        linecache.cache[file] = (len(code), None, code.splitlines(True), file)
        # Not ast.parse, which would be a step of a SyntaxError's traceback.
        flags = ast.PyCF_ONLY_AST  # type: int
        tree = compile(code, file, "exec", flags, dont_inherit=True)  # type: ast.Module
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, file, "exec", dont_inherit=True), names)  # noqa: S102 - what it is for
        if not isinstance(last, ast.Expr):
            return None
        expression = compile(ast.Expression(last.value), file, "eval", dont_inherit=True)
        value = eval(expression, names)  # noqa: S307 - what it is for
        return None if code.rstrip().endswith(";") else value

    def _figures(self) -> None:
        showing.figures(self._show)

    def _show(self, description: Any, blobs: "list[Any]") -> None:
        with self._interrupts:
            self._output.flush()
            try:
                packet = codec.pack(description, blobs)
            except codec.NotData as reason:
                packet = codec.pack({"value": "(not shown: {})".format(reason)}, [])
            if sum(len(piece) for piece in packet) <= frames.LARGEST:
                self._outgoing.send(frames.SHOW, *packet)


def _oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for memory."""
    for path in _OOM_COUNTS:
        try:
            with open(path) as file:
                words = file.read().split()
            return int(words[words.index("oom_kill") + 1])
        except (OSError, ValueError):
            continue
    return 0


def _described_error(error: BaseException) -> "list[Any]":
    """Return an error and what led to it, the first cause first."""
    described = []  # type: list[Any]
    link = ""
    current = error  # type: BaseException | None
    while current is not None and len(described) < _MOST_CAUSES:
        described.append(_one_error(current, link))
        link = "cause" if current.__cause__ is not None else "context"
        hidden = current.__suppress_context__ and current.__cause__ is None
        current = None if hidden else current.__cause__ or current.__context__
    return described[::-1]


def _one_error(error: BaseException, link: str) -> "dict[str, Any]":
    found = traceback.extract_tb(error.__traceback__)
    own = "<ipycontainer "
    steps = [
        [s.filename, s.lineno, s.name, s.line] for s in found if not s.filename.startswith(own)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        steps.append([error.filename, error.lineno, "", (error.text or "").rstrip()])
    if len(steps) > _MOST_FRAMES:
        steps = steps[: _MOST_FRAMES // 2] + steps[-_MOST_FRAMES // 2 :]
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        message = "<its text cannot be had>"
    return {
        "name": codec.type_name(error),
        "message": message[: showing.LONGEST_TEXT],
        "steps": steps,
        "leads_to_next_as": link,
    }


def serve(incoming: BinaryIO) -> None:
    """Be the interpreter; called by what started this Python."""
    Agent(incoming).serve()
