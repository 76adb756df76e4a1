"""Talks to `groma chat` through a pseudo-terminal, as a person does: PROGRAM FOLDER SERVER.

FOLDER holds a tiny model `model`; SERVER is the address of a model whose answers come in pieces, the first of them never to
an end. Says what went wrong, if anything did.
"""

import json
import os
import pty
import signal
import sys
import termios
import time

PROGRAM, FOLDER, SERVER = sys.argv[1:]
CTRL_C, CTRL_D, UP, LEFT = b"\x03", b"\x04", b"\x1b[A", b"\x1b[D"
PROMPT = b"> "


class Chat:
    """A session in a terminal of its own."""

    def __init__(self, *flags):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(FOLDER)
            os.environ.update(TERM="xterm", HF_HUB_OFFLINE="1")
            os.execv(PROGRAM, [PROGRAM, "chat", "--max-new-tokens", "8", *flags])
        os.set_blocking(self.terminal, False)
        self.seen = b""

    def wait(self, text, seconds=60):
        """Waits for a text, and forgets what was shown up to its end."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text} does not come; there is {self.seen[-2000:]}"
            try:
                self.seen += os.read(self.terminal, 65536)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                raise AssertionError(f"it ended before {text}; there is {self.seen[-2000:]}") from None
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, keys):
        os.write(self.terminal, keys)

    def ask(self, line, answer=b"\r\n"):
        """Types a line, and waits for what must be shown and for the next prompt."""
        self.type(line + b"\r")
        self.wait(answer)
        self.wait(PROMPT)

    def end(self, code, seconds=20):
        """Waits for the end, with its exit code and the terminal as it was."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                found = os.waitstatus_to_exitcode(status)
                assert found == code, f"exit code {found}, not {code}: {self.seen}"
                return
            try:
                self.seen += os.read(self.terminal, 65536)
            except OSError:
                time.sleep(0.01)
        raise AssertionError(f"it does not end: {self.seen}")

    def is_raw(self):
        return not termios.tcgetattr(self.terminal)[3] & termios.ICANON


def saved(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return [json.loads(line)["messages"] for line in file]


def said(messages, role):
    return [turn["content"] for turn in messages if turn["role"] == role]


def lines_are_edited_and_commands_obeyed():
    chat = Chat("--model", "model", "--temperature", "0")
    chat.wait(PROMPT)
    assert chat.is_raw(), "lines are edited"
    chat.ask(b"/help", b"/retry")
    chat.ask(b"/system Be brief.")
    chat.ask(b"Helo." + LEFT + LEFT + b"l")
    chat.ask(UP)
    chat.ask(b"one\\\rtwo")
    chat.ask(b"/retry")
    chat.ask(b"/save talk.jsonl", b"added to")
    chat.ask(b"/reset")
    chat.ask(b"/save talk.jsonl", b"nothing was said")
    chat.ask(b"/exit", b"/help shows")
    chat.ask(b"After.")
    chat.ask(b"/save talk.jsonl", b"added to")
    first, second = saved("talk.jsonl")
    assert said(first, "user") == ["Hello.", "Hello.", "one\ntwo"], first
    assert said(first, "system") == ["Be brief."] and len(said(first, "assistant")) == 3, first
    assert said(second, "user") == ["After."], second
    chat.type(b"/quit\r")
    chat.end(0)


def a_full_window_forgets_the_oldest():
    chat = Chat("--model", "model")
    chat.wait(PROMPT)
    for _ in range(3):
        chat.ask(b"Where is the mill, and who lives near it, and what is the name of the old well?")
    chat.type(b"And where is the well, and who was there in the morning, and what did they say about it?\r")
    chat.wait(b"the window is full")
    chat.wait(PROMPT)
    chat.type(CTRL_D)
    chat.end(0)


def signals_end_an_idle_session():
    for end in (lambda chat: chat.type(CTRL_C), lambda chat: os.kill(chat.pid, signal.SIGTERM)):
        chat = Chat("--model", "model")
        chat.wait(PROMPT)
        end(chat)
        chat.end(130)
        assert not chat.is_raw(), "the terminal is as it was"


def an_answer_is_stopped_and_the_session_goes_on():
    chat = Chat("--model", SERVER)
    chat.wait(PROMPT)
    chat.type(b"Tell me a long story.\r")
    chat.wait(b"Once upon")
    chat.type(CTRL_C)
    chat.wait(PROMPT, seconds=5)
    chat.ask(b"And a short one.", b"The end.")
    chat.ask(b"/save stopped.jsonl", b"added to")
    (messages,) = saved("stopped.jsonl")
    assert said(messages, "assistant") == ["Once upon", "The end."], messages
    chat.type(CTRL_D)
    chat.end(0)


for check in (
    lines_are_edited_and_commands_obeyed,
    a_full_window_forgets_the_oldest,
    signals_end_an_idle_session,
    an_answer_is_stopped_and_the_session_goes_on,
):
    try:
        check()
    except AssertionError as error:
        sys.exit(f"{check.__name__}: {error}")
