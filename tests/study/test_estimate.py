"""What a study will cost, by what has finished and else by rates."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from tests.conftest import SMOKE
from workflow_scripts.config.validation import read_config
from workflow_scripts.engine.plan import Job, plan, rules
from workflow_scripts.generators.presets import SNAPSHOTS
from workflow_scripts.study.estimate import Images, estimate, work
from workflow_scripts.study.rates import Rates

CONFIG = {"datasets": {"drawn": {"held_out": 10, "resolution": 16, "color": "grey"}}}


def job(generator: str, needed: bool) -> Job:
    return Job(
        rule="plot_training", wildcards={"generator": generator}, output=("curves.svg",), log=None,
        benchmark=f"{generator}.tsv", threads=1, mem_mb=0, needed=needed, started=False, needs=(),
    )  # fmt: skip


def test_a_job_is_expected_to_take_what_finished_ones_of_its_kind_took(tmp_path: Path) -> None:
    (tmp_path / "gan.tsv").write_text("s\th:m:s\n100.0\t0:01:40\n")
    (tmp_path / "other.tsv").write_text("s\th:m:s\n20.0\t0:00:20\n")
    jobs = [job("gan", False), job("other", False), job("gan", True)]
    rates = Rates(start=2.0, light=1.0)
    images = Images(10, 1, 0.0)
    assert estimate(jobs, CONFIG, images, rates, 2, tmp_path).seconds == 100
    assert estimate([*jobs[:2], job("third", True)], CONFIG, images, rates, 2, tmp_path).seconds == 60
    by_rates = estimate([job("third", True)], CONFIG, images, rates, 2, tmp_path).seconds
    assert 2 <= by_rates < 5  # its start alone


def test_images_that_a_network_encodes_are_counted(tmp_path: Path) -> None:
    config = CONFIG | {"replication": {"samples": 100, "snapshot_samples": 256, "shards": 1}}
    images, rates = Images(1000, 1, 0.0), Rates(start=2.0, light=1.0, encode={"perceptual": 0.5})
    encoding = replace(job("gan", True), wildcards={"space": "perceptual"}, output=("results/features/a.npy",))
    seconds = {
        rule: work(replace(encoding, rule=rule), config, images, rates)
        for rule in ("extract_features", "extract_sample_features", "extract_snapshot_features")
    }
    assert seconds == {
        "extract_features": 500,
        "extract_sample_features": 50,
        "extract_snapshot_features": 128 * SNAPSHOTS,
    }


def test_every_training_counts_and_teachers_in_the_loop_do(tmp_path: Path) -> None:
    rates = Rates(start=0.0, light=0.0, step=defaultdict(lambda: 1.0), sample={}, look=defaultdict(lambda: 0.1))
    config, images = read_config(SMOKE), Images(100, 10, 0.0)
    rates.sample |= dict.fromkeys(config["generators"], 0.0)
    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    for job in plan(SMOKE, [], tmp_path, 2):
        if job.rule.startswith("train_"):
            seconds[job.rule][job.output[0]] = work(job, config, images, rates)
    assert set(seconds) == {rule.name for rule in rules() if rule.name.startswith("train_")}
    assert min(time for times in seconds.values() for time in times.values()) > 0
    students = {path.split("/")[-2]: time for path, time in seconds["train_student"].items()}
    alone = min(students.values())
    assert {name for name, time in students.items() if time > alone} == {
        name for name in students if not name.startswith(("alone.", "smoothed."))
    }


def test_stored_views_are_looked_at_once_each() -> None:
    config = CONFIG | {"distillation": {"training": 40}}
    storing = replace(job("none", True), rule="store_views", wildcards={"teacher": "weak-1"}, params={"views": 3})
    seconds = work(storing, config, Images(1000, 2, 0.0), Rates(start=1.0, light=1.0, look={"teacher": 0.5}))
    assert seconds == 3 * 40 * 0.5
