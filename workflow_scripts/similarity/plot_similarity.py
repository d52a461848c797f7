"""Draw the map of class similarities. Rule: plot_similarity."""

from typing import Any

import numpy as np

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_json
from workflow_scripts.core.job import run
from workflow_scripts.similarity.drawing import draw_class_similarity, similarity_table
from workflow_scripts.similarity.ordering import cluster_order


def main(snakemake: Any) -> None:
    similarity = read_json(snakemake.input[0])
    matrix = np.array(similarity["matrix"], dtype=float)
    supers = read_json(snakemake.input.manifest)["superclasses"]
    superclass_of = {name: superclass for superclass, members in supers.items() for name in members}
    superclass = [superclass_of[name] for name in similarity["classes"]] if len(supers) > 1 else None
    figure = draw_class_similarity(matrix, similarity["classes"], cluster_order(matrix).tolist(), superclass)
    description = f"Heat map of the mean structural similarity (SSIM) between images of {len(matrix)} classes."
    save_figure(figure, snakemake.output.svg, similarity_table(matrix, similarity["classes"]), description)


run(main, snakemake)
