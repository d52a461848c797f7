"""What GPU memory is stated: counted without contents as with them; docs/gpu.md says what was counted."""

import pytest
import torch

from tests.conftest import ROOT
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.core.files import read_json
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.features.simclr import Encoder
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.study import gpu_work
from workflow_scripts.study.gpu_check import LEAST, TABLE
from workflow_scripts.study.gpu_memory import as_table, needed_mb
from workflow_scripts.study.gpu_work import WORKS, Work
from workflow_scripts.study.live_bytes import LiveBytes, peak_bytes

CLASSIFIER = ClassifierSettings(steps=4, batch=4, width=2, augmentation="none")
ENCODER = SimCLRSettings(steps=4, batch=4, width=2, projection=4)
SMALL = {family: gpu_work.generator_training(settings) for family, settings in LEAST.items()}
SMALL |= {f"samples of {family}": gpu_work.sampling(settings) for family, settings in LEAST.items()}
SMALL |= {f"losses of {family}": gpu_work.scoring(settings) for family, settings in LEAST.items()}
SMALL |= {
    "classifier": gpu_work.classifier_training_of(CLASSIFIER),
    "student": gpu_work.classifier_training_of(CLASSIFIER, (CLASSIFIER,) * 2),
    "predictions": gpu_work.prediction(CLASSIFIER),
    "maps": gpu_work.attention_maps(CLASSIFIER, "grad_cam"),
    "simclr": gpu_work.simclr_training(ENCODER),
    "features": gpu_work.encoding(lambda shape: Encoder(ENCODER, shape.channels)),
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
@pytest.mark.parametrize("work", SMALL.values(), ids=SMALL.keys())
def test_tensors_without_contents_are_counted_like_those_of_real_work(work: Work) -> None:
    shape = ImageShape(8, 1)
    with LiveBytes() as meter:
        step = work.prepare(shape)
        meter.peak = meter.live
        for _ in range(2):
            step()
    assert peak_bytes(lambda: work.prepare(shape)) == pytest.approx(meter.peak, rel=0.02)


AGAIN = ("stylegan2", "classifier", "samples of stylegan2", "losses by stylegan2", "classifier's attention maps",
         "simclr's features", "perceptual features", "SSIM of classes", "alignment of copies")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", AGAIN)
def test_what_is_stated_is_what_is_counted(kind: str) -> None:
    [(preset, work)] = list(WORKS[kind].items())[:1]
    assert read_json(TABLE)[kind][preset]["32"] == pytest.approx(needed_mb(work, ImageShape(32, 3)), rel=0.02)


def test_the_page_states_what_was_counted() -> None:
    needed = read_json(TABLE)
    assert {kind: presets.keys() for kind, presets in needed.items()} == {k: p.keys() for k, p in WORKS.items()}
    assert as_table(needed) in (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
