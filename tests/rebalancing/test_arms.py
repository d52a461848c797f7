"""The arms of the rebalancing study on real training: copies of what is there already gain nothing."""

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.classifiers.training import build_classifier, train_classifier
from workflow_scripts.data.imbalance import Exponential, head_middle_tail, imbalanced_subset, lacking_counts
from workflow_scripts.data.sources import open_source
from workflow_scripts.rebalancing.gains import improvements, run_rows
from workflow_scripts.training.checkpoints import Checkpoints

CLASSES = ["T-shirt/top", "Trouser", "Sandal", "Bag"]
KNOWN = [0, 1, 5, 8]
SETTINGS = ClassifierSettings(steps=20, batch=16, width=4, smallest_crop=0.7, learning_rate=0.1)


@pytest.mark.slow
def test_synthetic_images_that_are_copies_show_no_gain_beyond_that_of_repetition(tmp_path):
    """With as many steps, filling the tail with copies of itself is repetition, and gains no more than that does."""
    images, known = open_source({"source": "shipped", "name": "fashion-mnist-test"}).block(0, 3000)
    images = images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).round().astype(np.uint8)[..., None]
    place = np.full(10, -1)
    place[KNOWN] = np.arange(4)
    labels = place[known]
    test = np.flatnonzero(labels >= 0)[-400:]
    training = labels.copy()
    training[test] = -1
    rows = []
    for seed in range(3):
        subset = imbalanced_subset(training, CLASSES, Exponential(60, 12), seed)
        counts = np.bincount(labels[subset], minlength=4)
        lacking = lacking_counts(counts)
        copies = [np.resize(subset[labels[subset] == label], lacking[label]) for label in range(4)]
        held_out = torch.from_numpy(images[test]), torch.from_numpy(labels[test])
        for arm, chosen, remedy in (
            ("original", subset, "none"),
            ("repetition", subset, "repetition"),
            ("copies", np.concatenate([subset, *copies]), "none"),
        ):
            own = torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen])
            network = build_classifier(SETTINGS, own[0], 4, seed, torch.device("cpu"))
            checkpoints = Checkpoints(tmp_path / f"{arm}-{seed}")
            record = train_classifier(network, *own, seed, checkpoints, held_out, remedy)
            predictions = torch.stack(record.predictions).numpy()
            rows.append(run_rows("all", arm, seed, labels[test], predictions, CLASSES, head_middle_tail(counts)))
    gained = improvements(pd.concat(rows), reference="repetition")
    row = gained[(gained["arm"] == "copies") & (gained["measure"] == "balanced_accuracy")].iloc[0]
    assert row["seeds"] == 3
    assert row["low"] < 0
