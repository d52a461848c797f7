"""What sees a whole data set stays within its memory. Tried with `--tally` alone, as it takes minutes."""

import re
import time

import pytest
import torch

from benchmarks import memory
from benchmarks.bench import Bench

LARGEST_GIB = 4.0


@pytest.mark.slow
def test_a_hundred_thousand_images_need_less_than_four_gibibytes(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--tally"):
        pytest.skip("minutes: make test-faults")
    said = memory.measure(Bench(torch.device("cpu"), small=False, until=time.monotonic() + 3600))
    assert "100,000 colour images of 64 px" in said
    stages = dict(re.findall(r"^\| ([^|]*?) \| [\d.]+ \| ([\d.]+) \|$", said, re.MULTILINE))
    assert len(stages) == len(memory.STAGES), said
    for wanted in ("packing", "nearest", "SSIM"):
        assert any(wanted in stage for stage in stages), stages
    assert all(0.2 < float(largest) < LARGEST_GIB for largest in stages.values()), stages
