"""A plan is read without running anything: what is tested here is no documented interface of Snakemake."""

from pathlib import Path

import pytest

from tests.conftest import SMOKE
from workflow_scripts.core.errors import InputError
from workflow_scripts.engine.plan import plan


def test_a_plan_has_what_each_job_needs_and_does(tmp_path: Path) -> None:
    jobs = plan(SMOKE, ["one_shot"], tmp_path, 2)
    place = {job.rule: i for i, job in enumerate(jobs)}
    training = jobs[place["train_generator"]]
    assert {"generator": "biggan", "dataset": "fashion-mnist", "seed": "0"}.items() <= training.wildcards.items()
    assert training.params["generator"]["family"] == "biggan"
    assert training.resources["gpu"] == 1
    assert (training.threads, training.needed, training.started) == (1, True, False)
    assert set(training.needs) == {place["pack_images"], place["draw_subsets"]}
    assert jobs[place["pack_images"]].threads == 2
    assert not (tmp_path / "results").exists()


def test_what_cannot_be_planned_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no_such_target"):
        plan(SMOKE, ["no_such_target"], tmp_path, 1)
