"""What GPU memory is stated: counted without contents as with them; docs/gpu.md says what was counted."""

import pytest
import torch

from tests.conftest import ROOT
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.core.files import read_json
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.study.gpu_check import LEAST
from workflow_scripts.study.gpu_memory import TABLE, TRAININGS, LiveBytes, Settings, as_table, peak_bytes, prepare

OTHERS = {
    "classifier": ClassifierSettings(steps=4, batch=4, width=2, augmentation="none"),
    "simclr": SimCLRSettings(steps=4, batch=4, width=2, projection=4),
}


@pytest.mark.slow  # a dispatch mode imports the compiler
def test_live_bytes_follow_tensors_to_their_end() -> None:
    with LiveBytes() as meter:
        first = torch.zeros(1000)
        assert meter.live == 4000
        second = first.view(10, 100) + 1  # a view is no memory of its own
        assert meter.live == meter.peak == 8000
        del first
        assert (meter.live, meter.peak) == (4000, 8000)
        second.add_(1)
        del second
    assert (meter.live, meter.peak) == (0, 8000)


@pytest.mark.slow
@pytest.mark.parametrize("settings", (LEAST | OTHERS).values(), ids=(LEAST | OTHERS).keys())
def test_tensors_without_contents_are_counted_like_those_of_a_real_training(settings: Settings) -> None:
    shape = ImageShape(8, 1)
    with LiveBytes() as meter:
        step = prepare(settings, shape)
        meter.peak = meter.live
        for _ in range(2):
            step()
    assert peak_bytes(lambda: prepare(settings, shape)) == pytest.approx(meter.peak, rel=0.02)


def test_the_page_states_what_was_counted() -> None:
    needed = read_json(TABLE)
    assert needed.keys() == TRAININGS.keys()
    assert as_table(needed) in (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
