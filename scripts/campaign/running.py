"""Runs the program, and judges how it ended."""

import os
import resource
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

SECONDS = 20
"""An answer takes longer: a hang."""
BYTES_OVER_INPUT = 1 << 30
EXIT_CODES = {0, 2, 3, 4, 5, 6, 130}
"""What the readme documents; 1 is kept."""


class Outcome:
    """How a process ended: its exit code (minus the signal), what it said, its largest memory in bytes."""

    def __init__(self, code, said, peak_bytes, timed_out):
        self.code, self.said, self.peak_bytes, self.timed_out = code, said, peak_bytes, timed_out

    def problem(self, input_bytes=0, codes=EXIT_CODES):
        """Why it must not have ended so; None where it may have."""
        if self.timed_out:
            return f"no answer within {SECONDS} s"
        if "panicked at" in self.said or "internal error" in self.said:
            return "a panic: " + self.said[-400:]
        if self.code not in codes:
            return f"exit code {self.code}: {self.said[-400:]}"
        if self.peak_bytes > BYTES_OVER_INPUT + input_bytes:
            return f"{self.peak_bytes >> 20} MiB of memory for {input_bytes} bytes"
        return None


def run(command, cwd, environment=None, stdin=b"", seconds=SECONDS):
    """Runs a command to its end, or to that of its time."""
    env = dict(os.environ, HF_HUB_OFFLINE="1", HF_HOME=os.path.join(cwd, "hub"), RUST_BACKTRACE="0")
    env.update(environment or {})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(command, cwd=cwd, env=env, stdin=given, stdout=out, stderr=out, start_new_session=True)
        code, usage, timed_out = wait(process, seconds)
        out.seek(0)
        said = out.read(1 << 20).decode("utf-8", "replace")
    return Outcome(code, said, usage.ru_maxrss * 1024, timed_out)


def wait(process, seconds):
    """The exit code, the resources, and whether it had to be ended."""
    end, pause, timed_out = time.monotonic() + seconds, 0.002, False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage, timed_out
        if time.monotonic() > end and not timed_out:
            timed_out = True
            os.killpg(process.pid, 9)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class Tally:
    """Counts tries and failures of a kind."""

    def __init__(self, kind, keep, seconds):
        self.kind, self.keep, self.tries, self.failures, self.notes = kind, keep, 0, [], []
        self.seconds = 0.0
        self.end = time.monotonic() + seconds if seconds else None

    def is_over(self):
        return self.end is not None and time.monotonic() > self.end

    def add(self, name, problem, directory=None):
        """A try, and what was wrong with it."""
        self.tries += 1
        if problem is None:
            return
        self.failures.append((name, problem))
        print(f"FAILED {self.kind} {name}: {problem}", flush=True)
        if self.keep and directory:
            target = os.path.join(self.keep, f"{self.kind}-{len(self.failures)}")
            shutil.copytree(directory, target, symlinks=True, dirs_exist_ok=True)

    def line(self):
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{self.kind}: {self.tries} tries, {len(self.failures)} failures, {self.seconds:.0f} s{notes}"


def in_parallel(work, jobs, tally):
    """Does `work` for each job on all cores until the time of the tally is over; its results go to the tally, in order."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        # In pieces, so that what is not begun when the time is over need not be.
        piece = 64
        for at in range(0, len(jobs), piece):
            if tally.is_over():
                return
            for result in pool.map(work, jobs[at : at + piece]):
                tally.add(*result)


def limit_core_dumps():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


limit_core_dumps()
