"""System calls on files that fail: a full disk, a failing one, one that may not be written to."""

import shutil

from kills import CALLS, WORKS, Work, can_trace, prepare, results
from running import in_parallel, run

ERRORS = ["ENOSPC", "EIO", "EACCES", "EDQUOT", "EMFILE", "EINTR"]
FAILING = CALLS.replace(",close", "").replace(",flock", "")


def attack(place, tally, tries, draw):
    if shutil.which("strace") is None or not can_trace(place):
        tally.notes.append("skipped: strace is missing, or may not trace here")
        return
    base = place.path("base")
    prepare(place, base)
    works = [Work(place, base, name, WORKS[name]) for name in ("train", "run", "overwrite")]
    jobs = []
    for number in range(tries):
        work = works[number % len(works)]
        jobs.append((work, draw.randrange(1, work.calls + 1), draw.choice(ERRORS), draw.random() < 0.3, number))
    in_parallel(lambda job: failing(place, *job), jobs, tally)


def failing(place, work, call, error, for_good, number):
    """The call fails, alone or with all after it; then the disk is sound again."""
    # An interrupted call is made again: for good, that is a wait.
    for_good = for_good and error != "EINTR"
    directory = place.path(f"fault-{number}")
    shutil.copytree(work.base, directory)
    when = f"{call}+" if for_good else str(call)
    inject = f"inject={FAILING}:error={error}:when={when}"
    traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={FAILING}", "-e", inject, *work.command]
    outcome = run(traced, directory, seconds=60)
    name = f"{work.name}, call {when}, {error}"
    # 1 and 127: the loader itself could not read the program or its libraries.
    is_loader = "error while loading shared libraries" in outcome.said or outcome.code in (1, 127)
    problem = None if is_loader else outcome.problem()
    if problem is None and outcome.code == 0:
        # Also a success under faults is one.
        problem = None if results(directory) == work.expected or leftover_is_all(directory, work) else "a success with other bits"
    if problem is None:
        problem = work.lost(directory) or work.ended(directory) if outcome.code != 0 else None
    if problem is None:
        shutil.rmtree(directory)
    return name, problem, directory


def leftover_is_all(directory, work):
    """Where clearing failed, what is left is hidden and named as a leftover, or beside the output; the next start clears it."""
    found = results(directory)
    visible = {path: digest for path, digest in found.items() if ".partial-" not in path and not path.endswith(".lock")}
    return visible == work.expected
