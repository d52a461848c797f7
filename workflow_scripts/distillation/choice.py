"""Which ensemble makes the best students, and does any beat no teacher? Judged on what did not choose."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.distillation.estimates import NOTHING, Estimate
from workflow_scripts.distillation.trends import FEWEST_SEEDS


@dataclass(frozen=True)
class StudentChoice:
    """The best kind of student with teachers and the best without, by accuracy over all seeds, and what is gained.

    taught, untaught: indices into the kinds that were given. gain: accuracy of the first minus that of the second, in
    shares, on seeds and images that did not choose them; NaN with fewer than three seeds. steady: whether leaving a
    seed out never changes the choice.
    """

    taught: int
    untaught: int
    gain: Estimate
    steady: bool


def choose_students(taught: np.ndarray, untaught: np.ndarray) -> StudentChoice:
    """Choose among K kinds of students with teachers and B kinds without, right or wrong: bool (K, S, N), (B, S, N).

    S seeds, each with its own networks; N images, the same for all. Cross-fitted: for each seed, the kinds are
    chosen by the other seeds on every other image, and compared in this seed on the images between. So neither lucky
    trainings nor lucky images flatter the chosen. The interval counts both seeds and images as samples.
    """
    best, best_untaught = _best(taught[:, :, ::2], untaught[:, :, ::2])
    seeds = taught.shape[1]
    if seeds < FEWEST_SEEDS:
        return StudentChoice(best, best_untaught, NOTHING, True)
    differences, choices = [], []
    for seed in range(seeds):
        others = np.arange(seeds) != seed
        ours, control = _best(taught[:, others, ::2], untaught[:, others, ::2])
        differences.append(taught[ours, seed, 1::2].astype(float) - untaught[control, seed, 1::2])
        choices.append(ours)
    return StudentChoice(best, best_untaught, crossed_mean(np.array(differences)), len(set(choices)) == 1)


def crossed_mean(values: np.ndarray) -> Estimate:
    """Mean of values (S, N) where both rows and columns are samples, such as seeds and images.

    The variance of the mean is the rows' plus the columns' less what both count, with Satterthwaite's degrees of
    freedom (the crossed random effects of Cornfield and Tukey 1956).
    """
    rows, columns = values.shape
    mean, by_row, by_column = values.mean(), values.mean(axis=1), values.mean(axis=0)
    rest = ((values - by_row[:, None] - by_column + mean) ** 2).sum() / ((rows - 1) * (columns - 1))
    parts = np.array([by_row.var(ddof=1) / rows, by_column.var(ddof=1) / columns])
    variance = max(float(parts.sum() - rest / values.size), float(parts.max()))
    if variance == 0:
        return Estimate(float(mean), float(mean), float(mean))
    degrees = max(rows - 1, variance**2 / float(parts**2 @ (1 / np.array([rows - 1, columns - 1]))))
    half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * np.sqrt(variance)
    return Estimate(float(mean), float(mean - half), float(mean + half))


def _best(*kinds: np.ndarray) -> tuple[int, ...]:
    return tuple(int(hits.mean(axis=(1, 2)).argmax()) for hits in kinds)
