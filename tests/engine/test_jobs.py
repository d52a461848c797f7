"""What jobs inside the image are given of the machine."""

import shlex
from pathlib import Path

from workflow_scripts.core.provenance import REVISION
from workflow_scripts.engine.jobs import mount, outside, prepare_jobs_inside, set_variables


def test_what_lies_outside_is_bound_once_with_what_links_lead_to(tmp_path: Path) -> None:
    work, data, disk = tmp_path / "work", tmp_path / "data", tmp_path / "disk"
    for folder in (work / "results", data / "part", disk / "images"):
        folder.mkdir(parents=True)
    (data / "file.npz").touch()
    (data / "link").symlink_to(disk / "images")
    assert outside([work / "results", "results", "relative/missing"], work) == []
    assert outside([data / "file.npz", data / "part", data / "part/not/there"], work) == [data]
    assert outside([data / "link"], work) == [data / "link", disk / "images"]
    assert outside(["../data/part"], work) == [data / "part"]
    assert outside(["/no-such-folder-at-all/x"], work) == []


def test_any_folder_name_can_be_mounted() -> None:
    assert mount(Path("/a b")) == "--mount 'type=bind,source=/a b,destination=/a b'"
    [_, fields] = shlex.split(mount(Path('/a,"b')))
    assert fields == 'type=bind,"source=/a,""b","destination=/a,""b"'


def test_chosen_variables_pass_and_a_second_call_changes_nothing(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": "1,2", "APPTAINERENV_SLURM_JOB_ID": "of a parent"}
    arguments = prepare_jobs_inside("--nv", [tmp_path], tmp_path / "work", environment)
    assert arguments.startswith("--nv --cleanenv --env ")
    assert f"source={tmp_path}," in arguments
    assert environment["APPTAINERENV_CUDA_VISIBLE_DEVICES"] == "1,2"
    assert "APPTAINERENV_SLURM_JOB_ID" not in environment
    assert prepare_jobs_inside(arguments, [tmp_path], tmp_path / "work", environment) == arguments


def test_every_variable_of_a_job_goes_inside_too() -> None:
    environment = {REVISION: "abc", "HOME": "/home/me"}
    set_variables(Path("/copycat"), environment)
    assert environment.pop("HOME") == "/home/me"
    inside = {name.removeprefix("APPTAINERENV_"): value for name, value in environment.items() if "TAINER" in name}
    assert inside == {name: value for name, value in environment.items() if "TAINER" not in name}
    assert inside.items() >= {REVISION: "abc", "MALLOC_TOP_PAD_": "67108864"}.items()
    assert inside["PYTHONPATH"] == "/copycat"
