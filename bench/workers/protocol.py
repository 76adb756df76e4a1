"""The loop that all workers share: a command a line from standard input, an answer a line to standard output."""

import json
import sys
import time
import traceback


def serve(run, prepare=lambda command: None):
    """Answers each command with the seconds and results of its repetitions of `run(command, prepared)`.

    What `prepare` does before each repetition is not timed. Whatever libraries print goes to standard error.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = repeat(run, prepare, command)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def repeat(run, prepare, command):
    seconds, results = [], []
    for _ in range(command["repetitions"]):
        prepared = prepare(command)
        start = time.perf_counter()
        results.append(run(command, prepared))
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "results": results}
