"""Which trainings of a study need how much GPU memory."""

import pytest
import yaml

from tests.conftest import SMOKE
from workflow_scripts.config.validation import validate
from workflow_scripts.core.job import GPU_MEMORY
from workflow_scripts.study import gpu_needs
from workflow_scripts.study.gpu_needs import trainings


def test_each_rule_that_trains_on_a_gpu_is_listed_with_its_network_and_the_size_of_its_images() -> None:
    listed = list(trainings(validate(yaml.safe_load(SMOKE.read_text()), "smoke")))
    assert {rule for training in listed for rule in training.rules.split(", ")} == set(GPU_MEMORY)
    assert {(training.name, training.settings.batch) for training in listed} == {
        ("biggan", 8), ("class-gan", 4), ("simclr", 16), ("classifier", 8), ("teacher", 8), ("student", 8)
    }  # fmt: skip
    assert {(training.shape.resolution, training.shape.channels) for training in listed} == {(16, 1)}


def test_the_command_names_rule_network_size_and_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONFIG", str(SMOKE))
    monkeypatch.setattr(gpu_needs, "needed_mb", lambda settings, shape: 1234)
    gpu_needs.main()
    _, first, *others = capsys.readouterr().out.splitlines()
    assert first == "    1.2 GB  train_generator: biggan, 16 px, batch 8"
    assert len(others) == 5
    monkeypatch.setenv("CONFIG", "nowhere.yaml")
    with pytest.raises(SystemExit, match="make gpu-memory: CONFIG: there is no file nowhere"):
        gpu_needs.main()
