"""Measure how much of the overlap of attention is the start of the head, by kind of map. Rule: compare_maps.

Pairs of networks that share their initial weights (students without teachers of one seed), the same pairs as they would
be had their heads started apart, and pairs that share nothing (the teachers of an ensemble).
"""

from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.core import figures
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_text
from workflow_scripts.core.job import run
from workflow_scripts.distillation.answers import maps_sentence
from workflow_scripts.distillation.drawing import METHODS, draw_methods
from workflow_scripts.distillation.looking import look_at_all, with_another_start
from workflow_scripts.distillation.overlap import count_overlaps, pairwise_means
from workflow_scripts.distillation.trends import over_seeds

IMAGES = 500


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, params = snakemake.input, snakemake.params
    rows = read_npy(files.validation)
    images = read_npy(files.images)
    images = np.ascontiguousarray(images[rows[:: max(1, len(rows) // IMAGES)]])
    networks = {}
    for weights, description in zip(files.weights, files.networks, strict=True):
        seed, name = Path(weights).parts[-4], Path(weights).parent.name
        networks[seed, name] = load_classifier(weights, description, device)
    alike = list(combinations(params.students, 2))
    pairs = {"same start": alike, "same body": alike, "different starts": params.pairs}
    records = []
    for seed in params.seeds:
        own = {name: network for (folder, name), network in networks.items() if folder == f"seed-{seed}"}
        apart = {name: with_another_start(own[name], number) for number, name in enumerate(params.students)}
        for method in METHODS:
            maps = {name: look_at_all(network, images, method)[1] for name, network in own.items()}
            moved = {name: look_at_all(network, images, method)[1] for name, network in apart.items()}
            for kind, chosen in pairs.items():
                attention = moved if kind == "same body" else maps
                overlaps = [
                    pairwise_means(
                        count_overlaps(
                            [attention[name] for name in pair], images.shape[1:3], params.threshold
                        ).corrected
                    )[0, 1]
                    for pair in chosen
                ]
                if overlaps:
                    records.append({"method": method, "pairs": kind, "seed": seed, "iou_corrected": np.mean(overlaps)})
    table = pd.DataFrame(records)
    by_seed = table.pivot(index="seed", columns=["method", "pairs"], values="iou_corrected")
    means = []
    for column, values in by_seed.items():
        map_kind, pair_kind = cast(tuple[str, str], column)
        effect = over_seeds(values.to_numpy(), np.zeros(len(values)))
        mean = {"iou_corrected": values.mean(), "low": effect.low, "high": effect.high}
        means.append({"method": map_kind, "pairs": pair_kind, "seed": None} | mean)
    shown = pd.concat([table, pd.DataFrame(means)], ignore_index=True)
    summed = {kind: by_seed["class_sum", kind].to_numpy() for kind in pairs if ("class_sum", kind) in by_seed.columns}
    start = over_seeds(summed["same start"] - summed["same body"], np.zeros(len(by_seed)))
    sentence = maps_sentence({kind: float(np.nanmean(values)) for kind, values in summed.items()}, start)
    write_text(snakemake.output.answer, f"- {sentence}\n")
    figures.save_figure(draw_methods(shown), snakemake.output.svg, shown, sentence)


run(main, snakemake)
