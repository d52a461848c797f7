"""The figure of quality: no line leaves its panel, also where data sets differ by orders of magnitude."""

import numpy as np
import pandas as pd

from workflow_scripts.replication.plot_quality import ROWS, draw_quality


def test_every_point_lies_inside_its_panel() -> None:
    rows = [
        {"generator": generator, "dataset": dataset, "size": size, "seed": seed, "frechet": scale * (30 + size / 100),
         "frechet_training": scale * 32, "frechet_control": scale * 5, "precision": 1.0, "recall": 0.0}
        for dataset, scale in (("small", 1.0), ("large", 40.0), ("unknown", np.nan))
        for generator in ("biggan", "diffusion")
        for size in (12, 24)
        for seed in (0, 1)
    ]  # fmt: skip
    figure = draw_quality(pd.DataFrame(rows))
    assert len(figure.axes) == 3 * len(ROWS)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low == 0
        for line in axes.lines:
            values = np.asarray(line.get_ydata(), dtype=float)
            assert np.all(np.isnan(values) | ((values >= 0) & (values <= 0.99 * high)))
