"""How the runs of teachers are seeded."""

import itertools

import torch

from workflow_scripts.classifiers.presets import LADDER, ClassifierSettings
from workflow_scripts.classifiers.training import build_classifier
from workflow_scripts.distillation.runs import teacher_seed


def test_no_two_teachers_of_a_study_start_from_the_same_head() -> None:
    names = [f"{rung}-{number}" for rung, number in itertools.product(LADDER, (1, 2))]
    seeds = [teacher_seed(name, seed) for name, seed in itertools.product(names, (0, 1))]
    assert len(set(seeds)) == len(seeds)
    images = torch.zeros(1, 8, 8, 1, dtype=torch.uint8)
    settings = ClassifierSettings(steps=1, batch=1, width=2)
    heads = [build_classifier(settings, images, 3, seed, torch.device("cpu")).head.weight for seed in seeds[:4]]
    for first, second in itertools.combinations(heads, 2):
        assert torch.cosine_similarity(first.sum(0), second.sum(0), dim=0).abs() < 0.99
