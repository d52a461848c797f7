"""Say how diverse a set of teachers is and which predict best together, and show what they look at. Rule: diagnose."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_column, read_npy, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.distillation.attention import attention_maps
from workflow_scripts.distillation.diagnosis import choose_subset, describe, diversity
from workflow_scripts.distillation.drawing import draw_overlays
from workflow_scripts.distillation.overlap import count_overlaps, pairwise_means

SHOWN = 6  # images, and at most twice as many teachers


def main(snakemake: Any) -> None:
    files, names, threshold = snakemake.input, snakemake.params.teachers, snakemake.params.threshold
    rows = read_npy(files.validation)
    labels, groups = (read_column(files.labels, column)[rows] for column in ("label", "group"))
    logits = np.stack([read_npy(path) for path in files.logits])
    images = read_npy(files.images)
    size = images.shape[1:3]
    raw = [read_npy(path) for path in files.attention]
    overlaps = count_overlaps(raw, size, threshold)
    iou, corrected = pairwise_means(overlaps.iou), pairwise_means(overlaps.corrected)
    choice = choose_subset(logits, labels, groups=groups)
    lines = describe(names, diversity(logits, iou, corrected), choice)
    result = {
        "teachers": names,
        "answer": lines,
        "best_together": [names[member] for member in choice.members],
        "accuracy": (logits.argmax(2) == labels).mean(axis=1).tolist(),
        "iou": np.nan_to_num(iou, nan=1.0).tolist(),
        "chance_corrected_iou": [[None if np.isnan(x) else x for x in row] for row in corrected.tolist()],
    }
    write_json(snakemake.output.diagnosis, result)
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in lines) + "\n")
    picked = np.linspace(0, len(rows) - 1, SHOWN).round().astype(int)
    shown = names[: 2 * SHOWN]
    maps = [attention_maps(torch.from_numpy(np.array(model[picked])), size).numpy() for model in raw[: 2 * SHOWN]]
    attended = pd.DataFrame(
        {"image": int(row), "network": name, "attended_share": float((attention[place] > threshold).mean())}
        for name, attention in zip(shown, maps, strict=True)
        for place, row in enumerate(rows[picked])
    )
    figures.save_figure(
        draw_overlays(images[rows[picked]], maps, shown, threshold), snakemake.output.svg, attended,
        f"{len(picked)} validation images, and for each of {len(maps)} networks a map of where it looks; an outline "
        "marks the part above the threshold.",
    )  # fmt: skip


run(main, snakemake)
