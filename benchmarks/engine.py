"""What a run of the default study costs besides its computation, and a run that finds nothing to do."""

import csv
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench import Bench

ROOT = Path(__file__).parent.parent
TIMES, LISTED = 3, 10

TEXT = """## Where the time of a study goes

The default study as `make demo` made it in one go: {jobs} jobs on {cores} cores in {minutes:.1f} min, from the start of
Snakemake to the last file. A core is useful while a script's own work holds it (processors were busy for
{busy:.0f} % of that); before and after, a job starts Python, imports, checks its inputs, records its outputs and ends.

| where the core-seconds went | core-seconds | share |
|---|---|---|
| computation | {useful:.0f} | {useful_share:.1f} % |
| start and end of jobs | {around:.0f} | {around_share:.1f} % |
| scheduling, and cores without a job that was ready | {idle:.0f} | {idle_share:.1f} % |
| **not computation** | **{lost:.0f}** | **{lost_share:.1f} %** |

`snakemake` when there is nothing to do: {nothing:.1f} s (the median of {times}).

The rules whose starts and ends cost most:

| rule | jobs | computation of a job, s | its start and end, s |
|---|---|---|---|
{rows}
"""


@dataclass
class Cost:
    """All jobs of a rule: number, seconds, and of these the script's own work and its processor seconds."""

    threads: int = 1
    jobs: int = 0
    whole: float = 0.0
    work: float = 0.0
    processor: float = 0.0
    recorded: set[str] = field(default_factory=set)


def costs(results: Path) -> tuple[dict[str, Cost], float]:
    """The cost of every rule of a finished run, and the seconds from the start of its first job to its last file."""
    by_rule: dict[str, Cost] = defaultdict(Cost)
    first, last = float("inf"), max(page.stat().st_mtime for page in results.glob("*.html"))
    for path in (results / "benchmarks").rglob("*.tsv"):
        cost = by_rule[path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")]
        with open(path, encoding="utf-8") as lines:
            taken = float(next(csv.DictReader(lines, delimiter="\t"))["s"])
        cost.jobs, cost.whole = cost.jobs + 1, cost.whole + taken
        ended = path.stat().st_mtime
        first, last = min(first, ended - taken), max(last, ended)
    for path in (results / "provenance").rglob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        job = json.dumps(record["wildcards"], sort_keys=True)
        if record["rule"] in by_rule and job not in (cost := by_rule[record["rule"]]).recorded:
            cost.recorded.add(job)  # every output of a job has a record
            cost.threads = record["threads"]
            cost.work += record["seconds"]["wall"]
            cost.processor += record["seconds"]["processor"]
    return by_rule, last - first


def nothing_to_do() -> float:
    """Seconds of a run that finds all files made. Raises RuntimeError if it would do or wait for something."""
    if shutil.which("scontrol") and subprocess.run(["scontrol", "ping"], capture_output=True).returncode:
        raise RuntimeError(
            "a SLURM client is installed here and no controller answers it: Snakemake's plugin would wait 9 s for one "
            "at every start. Start it (.ci/start-slurm) or remove the client"
        )
    command = [sys.executable, "-m", "snakemake", "--quiet", "rules"]
    plan = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    if "Nothing to be done" not in plan.stdout + plan.stderr:
        raise RuntimeError("the default study is not complete, or its code has changed since: run `make demo` first")
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measure(_: Bench) -> str:
    nothing = nothing_to_do()
    by_rule, wall = costs(ROOT / "results")
    cores = json.loads((ROOT / "results/provenance/summary.md.json").read_text(encoding="utf-8"))["hardware"]["cores"]
    wall += nothing  # what Snakemake takes before its first job
    available = cores * wall
    useful = sum(cost.threads * cost.work for cost in by_rule.values())
    around = sum(cost.threads * (cost.whole - cost.work) for cost in by_rule.values())
    idle = available - useful - around
    dearest = sorted(by_rule.items(), key=lambda item: item[1].work - item[1].whole)[:LISTED]
    rows = [
        f"| `{rule}` | {cost.jobs} | {cost.work / cost.jobs:.2f} | {(cost.whole - cost.work) / cost.jobs:.2f} |"
        for rule, cost in dearest
    ]
    return TEXT.format(
        jobs=sum(cost.jobs for cost in by_rule.values()), cores=cores, minutes=wall / 60,
        busy=100 * sum(cost.processor for cost in by_rule.values()) / useful,
        useful=useful, useful_share=100 * useful / available, around=around, around_share=100 * around / available,
        idle=idle, idle_share=100 * idle / available,
        lost=around + idle, lost_share=100 * (around + idle) / available,
        nothing=nothing, times=TIMES, rows="\n".join(rows),
    )  # fmt: skip
