"""Groups of classes out of so many that not all can be looked at."""

import numpy as np

from workflow_scripts.similarity.ordering import class_groups

CLASSES, SIZE = 60, 5  # 5.5 million groups
ALIKE, UNLIKE = (3, 17, 29, 40, 58), (2, 9, 31, 44, 50)


def planted():
    rng = np.random.default_rng(0)
    matrix = rng.uniform(0.2, 0.8, (CLASSES, CLASSES))
    matrix = (matrix + matrix.T) / 2
    matrix[np.ix_(ALIKE, ALIKE)], matrix[np.ix_(UNLIKE, UNLIKE)] = 0.9, 0.1
    return matrix


def test_planted_groups_are_found_among_millions():
    assert class_groups(planted(), SIZE, 1, "alike") == [ALIKE]
    assert class_groups(planted(), SIZE, 1, "unlike") == [UNLIKE]


def test_further_groups_share_at_most_half_of_their_classes():
    for kind in ("alike", "unlike"):
        groups = class_groups(planted(), SIZE, 6, kind)
        assert len(groups) == 6
        assert max(len({*a} & {*b}) for a in groups for b in groups if a != b) <= SIZE // 2


def test_random_groups_are_different_and_depend_on_the_seed():
    groups = class_groups(planted(), SIZE, 50, "random", 1)
    assert len({*groups}) == 50
    assert all(len({*group}) == SIZE for group in groups)
    assert groups == class_groups(planted(), SIZE, 50, "random", 1)
    assert groups != class_groups(planted(), SIZE, 50, "random", 2)


def test_there_are_no_groups_larger_than_all_classes():
    assert class_groups(np.eye(3), 4, 1, "alike") == []
    assert class_groups(np.eye(3), 3, 2, "random") == [(0, 1, 2)]
