"""How far a classifier's confidence is from its accuracy, corrected for what chance adds."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.distillation.estimates import NOTHING, Estimate
from workflow_scripts.distillation.measures import log_probabilities

BINS = 10  # Guo et al. 2024 and most of the literature
DRAWS = 400  # of chance, for each error that is tried
TRIED = 1.6 * np.linspace(0, 1, 33)  # errors, as multiples of the plug-in one


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error in 0..1: `plug_in` as it is measured, and corrected for chance, with an interval."""

    plug_in: float
    corrected: Estimate


@dataclass(frozen=True)
class CalibrationErrors:
    """Bins weighted by their images (the standard), and all bins alike (as Guo et al. 2024 publish it)."""

    weighted: CalibrationError
    unweighted: CalibrationError


def calibration(logits: np.ndarray, labels: np.ndarray, bins: int = BINS, seed: int = 0) -> CalibrationErrors:
    """Expected calibration error (Naeini et al. 2015): |accuracy - mean confidence| over bins of equal width.

    logits (N, C). Chance alone makes the plug-in error of a calibrated classifier about sqrt(bins / N) / 2, so it is
    compared with what errors of known size would give with these images: the corrected error is the one whose
    mean plug-in error is the measured one, 0 if none is that small, and the interval holds the errors that give the
    measured one with more than 2.5 % on either side. How an error spreads over the bins is not known: the lower end
    puts it where the measured gaps stand out, or into the one bin whose gap stands out most, whichever is lower; the
    upper end puts it everywhere, and the value lies between. No images give NaN.
    """
    if len(labels) == 0:
        return CalibrationErrors(*[CalibrationError(np.nan, NOTHING)] * 2)
    log_p = log_probabilities(logits)
    confidence = np.exp(log_p.max(axis=1))
    gap = (log_p.argmax(axis=1) == labels) - confidence
    member = np.minimum((confidence * bins).astype(int), bins - 1)
    sums, squares, chance, count = (
        np.bincount(member, values, bins) for values in (gap, gap**2, confidence * (1 - confidence), np.ones(len(gap)))
    )
    images = np.maximum(count, 1)
    # A calibrated image's variance beside the measured ones, so that a bin of one image has a spread, too.
    spread = np.sqrt(np.maximum(squares - sums**2 / images, 0) + chance / images)
    weights = (1 / len(gap), np.where(count > 0, 1 / images, 0) / np.count_nonzero(count))
    noise = np.random.default_rng([9, seed]).standard_normal((DRAWS, bins))
    return CalibrationErrors(*(_corrected(np.abs(sums) * weight, spread * weight, noise) for weight in weights))


def _corrected(gaps: np.ndarray, errors: np.ndarray, noise: np.ndarray) -> CalibrationError:
    """Error from each bin's share of it (bins,), with the standard errors of these shares; noise: standard normal."""
    plug_in = float(gaps.sum())
    if plug_in == 0:
        return CalibrationError(0.0, Estimate(0.0, 0.0, 0.0))
    standing_out = gaps * (np.maximum(0, 1 - (errors / np.maximum(gaps, 1e-12)) ** 2) ** 2 + 1e-3)
    signal = gaps / np.maximum(errors, 1e-12)
    ends = []
    for shape in (standing_out, signal == signal.max(), gaps + errors):
        tried = plug_in * TRIED
        simulated = np.abs(tried[:, None, None] * shape / shape.sum() + errors * noise).sum(axis=2)
        curves = simulated.mean(axis=1), *np.quantile(simulated, [(1 + LEVEL) / 2, (1 - LEVEL) / 2], axis=1)
        ends.append([float(np.interp(plug_in, np.maximum.accumulate(curve), tried)) for curve in curves])
    (value, low, _), (_, lowest, _), (other, _, high) = ends
    return CalibrationError(plug_in, Estimate((value + other) / 2, min(low, lowest), high))
