"""What sees a whole data set stays within its memory. Tried with `--tally` alone, as it takes minutes."""

import re

import pytest

from benchmarks import memory

LARGEST_GIB = 4.0


def test_a_hundred_thousand_images_need_less_than_four_gibibytes(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--tally"):
        pytest.skip("minutes: make test-faults")
    assert (memory.COUNT, memory.SIDE) == (100_000, 64)
    stages = dict(re.findall(r"^\| ([^|]*?) \| [\d.]+ \| ([\d.]+) \|$", memory.measure(), re.MULTILINE))
    for wanted in ("packing", "nearest", "SSIM"):
        assert any(wanted in stage for stage in stages), stages
    assert all(0.2 < float(largest) < LARGEST_GIB for largest in stages.values()), stages
