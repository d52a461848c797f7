"""Say how diverse a set of teachers is and whom to distil from, and show what they look at. Rule: diagnose."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_column, read_npy, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.distillation.attention import attention_maps, count_overlaps, pairwise_means
from workflow_scripts.distillation.diagnosis import choose_subset, describe, diversity

SHOWN = 6  # images, and at most twice as many teachers


def draw_overlays(images: np.ndarray, maps: list[np.ndarray], names: list[str], threshold: float) -> Figure:
    """A row for each image, a column for each network: its attention over the image, its mask's outline in orange.

    images: uint8 (n, H, W, C). maps: for each network scaled maps (n, H, W) in 0..1.
    """
    figure = Figure(figsize=(1.1 * (len(names) + 1), 1.15 * len(images) + 0.4), layout="constrained")
    grid = figure.subplots(len(images), len(names) + 1, squeeze=False)
    for row, image in enumerate(images):
        figures.show_image(grid[row, 0], image)
        for axes, attention in zip(grid[row, 1:], maps, strict=True):
            figures.show_image(axes, image)
            axes.imshow(attention[row], cmap="viridis", vmin=0, vmax=1, alpha=0.55)
            if attention[row].min() <= threshold < attention[row].max():
                axes.contour(attention[row], [threshold], colors="#E69F00", linewidths=1.2)
    for axes, name in zip(grid[0], ["image", *names], strict=True):
        axes.set_title(name, fontsize=8)
    return figure


def attention_table(maps: list[np.ndarray], names: list[str], rows: np.ndarray, threshold: float) -> pd.DataFrame:
    """How much of each shown image each network looks at: a row for each, with the share of its pixels in the mask.

    rows: (n,) places of the shown images in the data set. maps and threshold: as drawn.
    """
    return pd.DataFrame(
        {"image": int(row), "network": name, "attended_share": float((attention[place] > threshold).mean())}
        for name, attention in zip(names, maps, strict=True)
        for place, row in enumerate(rows)
    )


def main(snakemake: Any) -> None:
    files, augmentations = snakemake.input, snakemake.params.augmentations
    names = list(augmentations)
    rows = read_npy(files.validation)
    labels = read_column(files.labels, "label")[rows]
    logits = np.stack([read_npy(path) for path in files.logits])
    images = read_npy(files.images)
    size = images.shape[1:3]
    raw = [read_npy(path) for path in files.attention]
    overlaps = count_overlaps(raw, size, snakemake.params.threshold)
    iou, corrected = pairwise_means(overlaps.iou), pairwise_means(overlaps.corrected)
    choice, varied = choose_subset(logits, labels), diversity(logits, iou, corrected)
    lines = describe(names, varied, choice, list(augmentations.values()))
    chosen = [names[i] for i in choice.chosen.members]
    result = {
        "teachers": names,
        "answer": lines,
        "distil_from": chosen,
        "accuracy": (logits.argmax(2) == labels).mean(axis=1).tolist(),
        "iou": np.nan_to_num(iou, nan=1.0).tolist(),
        "chance_corrected_iou": [[None if np.isnan(x) else x for x in row] for row in corrected.tolist()],
    }
    write_json(snakemake.output.diagnosis, result)
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in lines) + "\n")
    picked = np.linspace(0, len(rows) - 1, SHOWN).round().astype(int)
    maps = [attention_maps(torch.from_numpy(np.array(one[picked])), size).numpy() for one in raw[: 2 * SHOWN]]
    figure = draw_overlays(images[rows[picked]], maps, names[: 2 * SHOWN], snakemake.params.threshold)
    table = attention_table(maps, names[: 2 * SHOWN], rows[picked], snakemake.params.threshold)
    description = (
        f"{len(picked)} validation images, and for each of {len(maps)} networks a map of where it looks; an outline "
        "marks the part above the threshold."
    )
    figures.save_figure(figure, snakemake.output.svg, table, description)


if __name__ == "__main__":
    run(main, snakemake)
