"""Choose among generated candidates: as they come, or those that a classifier recognises. Rule: select_images."""

from typing import Any

import numpy as np

from workflow_scripts.core.files import read_json, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import ImageSet, open_image_set, write_generated_set
from workflow_scripts.rebalancing.selection import select_by_classifier, select_random


def main(snakemake: Any) -> None:
    files, counts = snakemake.input, read_json(snakemake.input.counts)
    candidates = open_image_set(files.images, files.labels, files.manifest)
    labels, wanted = candidates.labels, np.array(counts["wanted"])
    if snakemake.wildcards.choice == "random":
        chosen = select_random(labels, wanted, counts["classes"])
    else:
        from workflow_scripts.classifiers.networks import load_classifier
        from workflow_scripts.classifiers.training import predict
        from workflow_scripts.core.devices import device_of_job

        device = device_of_job(snakemake)
        classifier = load_classifier(files.weights, files.network, device)
        probabilities = predict(classifier, candidates.images).softmax(1).cpu().numpy()
        intended = probabilities[np.arange(len(labels)), labels]
        chosen = select_by_classifier(labels, intended, snakemake.params.threshold, wanted, counts["classes"])
    manifest = candidates.manifest | {"name": f"{snakemake.wildcards.dataset}-{snakemake.wildcards.choice}"}
    picked = ImageSet(candidates.images[chosen.indices], labels[chosen.indices], manifest)
    output = snakemake.output
    write_generated_set(output.images, output.labels, output.manifest, picked)
    write_csv(snakemake.output.report, chosen.report)


run(main, snakemake)
