"""Engines under measurement: worker processes that stay warm, and whole processes that are started anew each time.

Both have `run(command, repetitions)`, which returns seconds and results of the repetitions and the processor time of all
threads together, `peak_mib()` and `close()`.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path


class Failed(Exception):
    """An engine cannot do what it was asked, or ended."""


def environment(threads):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    return dict(os.environ, **offline, **{name: str(threads) for name in names})


class Worker:
    """A process that answers a command a line. Its peak memory and processor time are read from /proc."""

    def __init__(self, name, arguments, threads):
        self.name = name
        self.seconds, self.cpu_seconds = [], []
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(part) for part in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment(threads),
        )

    def run(self, command, repetitions=1):
        before = self._cpu()
        self.process.stdin.write(json.dumps(dict(command, repetitions=repetitions)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} ended with code {self.process.wait()}: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer["seconds"], answer["results"], self._cpu() - before

    def _last_words(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-1000:]

    def _cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def close(self):
        """Ends the worker, whatever it is at."""
        self.process.kill()
        self.process.wait()


class Process:
    """A program run anew for each repetition, from its start to its end; `arguments` and `read` are functions of a
    command and of what it printed."""

    def __init__(self, name, arguments, read, threads):
        self.name, self.arguments, self.read, self.threads = name, arguments, read, threads
        self.seconds, self.cpu_seconds = [], []
        self.peak_kib = 0

    def run(self, command, repetitions=1):
        runs = [self._once([str(part) for part in self.arguments(command)]) for _ in range(repetitions)]
        seconds, results, cpu = zip(*runs)
        return list(seconds), list(results), sum(cpu)

    def _once(self, arguments):
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(self.threads)
            )
            printed = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            process.stdout.close()
            if process.returncode:
                errors.seek(0)
                words = errors.read().decode(errors="replace")[-1000:]
                raise Failed(f"{self.name} ended with code {process.returncode}: {words}")
        self.peak_kib = max(self.peak_kib, usage.ru_maxrss)
        return seconds, self.read(printed), usage.ru_utime + usage.ru_stime

    def peak_mib(self):
        return self.peak_kib / 1024

    def close(self):
        """Nothing is left running."""
