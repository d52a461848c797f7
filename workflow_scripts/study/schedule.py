"""How long jobs take together, when as many run at once as their order and the cores allow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports Snakemake
    from workflow_scripts.engine.plan import Job


def schedule(jobs: "Sequence[Job]", seconds: dict[int, float], cores: int) -> tuple[float, int]:
    """Seconds until all jobs are done, each started as soon as its inputs and enough cores are free; most at once."""
    waiting, done = set(seconds), set(range(len(jobs))) - set(seconds)
    running: dict[int, float] = {}  # when each ends
    now, free, at_once = 0.0, cores, 0
    while waiting or running:
        ready = sorted(i for i in waiting if done.issuperset(jobs[i].needs))
        for i in sorted(ready, key=lambda i: -seconds[i]):
            threads = min(jobs[i].threads, cores)
            if threads <= free:
                free -= threads
                running[i] = now + seconds[i]
                waiting.remove(i)
        at_once = max(at_once, len(running))
        first = min(running, key=lambda i: running[i])
        now = running.pop(first)
        free += min(jobs[first].threads, cores)
        done.add(first)
    return now, at_once
