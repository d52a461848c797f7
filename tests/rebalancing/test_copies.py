"""Copies among synthetic images, class by class and in all."""

import numpy as np

from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.rebalancing.copies import copies_by_class
from workflow_scripts.replication.measures import Rate, rate

CLASSES = 4
INTENDED = np.repeat(np.arange(CLASSES - 1), 100)  # of the last class there is none
DISTANCES = np.where(INTENDED == 0, 0.001, np.random.default_rng(0).uniform(0.02, 1.0, len(INTENDED)))


def width(copied: Rate) -> float:
    assert copied.low is not None
    assert copied.high is not None
    return copied.high - copied.low


def test_each_class_has_its_copies_and_all_have_them_together() -> None:
    by_class, in_all = copies_by_class(DISTANCES, INTENDED, CLASSES, Grouped(np.linspace(0, 1, 1000)))
    assert [copied.percentage for copied in by_class] == [100, 0, 0, None]
    assert (in_all.count, in_all.of) == (100, 300)


def test_test_images_of_one_person_widen_every_interval() -> None:
    chance, person = np.repeat(np.linspace(0, 1, 100), 10), np.repeat(np.arange(100), 10)
    ours = np.linspace(0, 0.1, len(INTENDED))
    strangers, together = (copies_by_class(ours, INTENDED, CLASSES, Grouped(chance, of)) for of in (None, person))
    assert width(together[0][0]) > width(strangers[0][0])
    assert width(together[1]) > 1.5 * width(strangers[1])


def test_too_few_test_images_set_no_threshold() -> None:
    few, of_few_people = Grouped(np.ones(99)), Grouped(np.linspace(0, 1, 190), np.arange(190) // 10)
    for chance in (few, of_few_people):
        assert copies_by_class(DISTANCES, INTENDED, CLASSES, chance)[1] == rate(np.empty(0))
