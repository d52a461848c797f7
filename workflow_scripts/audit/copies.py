"""How many samples are copies beyond what chance gives, with an interval that carries every error."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from workflow_scripts.core.intervals import LEVEL, counts_interval
from workflow_scripts.metrics.groups import Grouped, as_grouped
from workflow_scripts.replication.measures import calibrated_threshold, replication

BAND = 10  # times the threshold's share: the distances beyond it that tell how near the samples lie in general
EDGES = (1.0, 2.0)  # times the share: how far from half of it samples are looked for, see _thins_out
THINNED = 0.05  # p-value below which samples are fewer there than in the rest of the band


@dataclass(frozen=True)
class Copies:
    """Percentages of the samples. within: of a calibrated threshold, with its interval within_low to within_high.

    chance: of them, those that chance explains. percentage, low, high: the rest, which are copies, with a 95 %
    interval; certain: a lower end that holds in all of an audit's spaces together. p_value: of the hypothesis that no
    more lie within than `share`. images: how many training images have a sample within.
    """

    label: str
    threshold: float
    samples: int
    within: float
    within_low: float
    within_high: float
    chance: float
    percentage: float
    low: float
    high: float
    certain: float
    p_value: float
    images: int


def copies(
    label: str,
    share: float,
    samples: np.ndarray,
    nearest: np.ndarray,
    held_out: np.ndarray | Grouped,
    training: np.ndarray | Grouped,
    spaces: int = 1,
) -> Copies:
    """Copies among samples at the threshold that is calibrated to a share of the held-out images.

    samples (m,), held_out (h,): distances to the nearest training image; nearest (m,): which it is; training (n,): of
    training images to the nearest other one; spaces: in how many an audit looks for copies. A sample that is no copy
    comes as near as the threshold with the probability `share` if samples are as far from the training images as held-
    out images are. Whether they are is seen in the band of distances beyond the threshold, up to ten times the share:
    with r times as many samples there as held-out images, chance explains r times the share. The lower end subtracts
    what r may be at most. The upper end subtracts what it is at least, and never more than the share, as samples that
    come nearer in general may be copies that the threshold misses. Where samples thin out towards the threshold, it
    subtracts nothing: then the band says nothing of what lies within. Errors of the count with the threshold's
    (counts_interval) and of r are combined by squares (MOVER: Zou and Donner 2008).
    """
    held_out = as_grouped(held_out)
    counted = replication(samples, nearest, held_out, training, {"calibrated": share})
    m, h = len(samples), len(held_out)
    widest = min(BAND * share, 0.5)
    outer = calibrated_threshold(held_out, widest).rms
    limit = counted.threshold.rms
    expected = widest - int(share * h + 1e-9) / h  # the share of held-out images in the band
    band = Grouped((held_out.values > limit) & (held_out.values <= outer), held_out.groups)
    inside = int(np.count_nonzero((samples > limit) & (samples <= outer)))
    ratio = inside / (m * expected)
    within, low, high = (
        float(value or 0.0) / 100 for value in (counted.replicas.percentage, counted.low, counted.high)
    )
    chance = 0.0 if _thins_out(samples, held_out.values, share, outer) else min(share * min(ratio, 1.0), within)

    def ratio_ends(level: float) -> tuple[float, float]:
        spread = special.ndtri((1 + level) / 2) * np.sqrt(1 / max(inside, 1) + band.design_effect / (h * expected))
        most = ratio * np.exp(spread) if inside else -np.log((1 - level) / 2) / (m * expected)
        return ratio * np.exp(-spread), most

    def lowest(least: float, level: float) -> float:
        end = within - share * ratio - np.hypot(within - least, share * (ratio_ends(level)[1] - ratio))
        return 100 * float(np.clip(end, 0, within - chance))

    jointly = 1 - (1 - LEVEL) / spaces
    least = min(counts_interval(counted.counts, m, jointly)[0], within)
    highest = within - chance + np.hypot(high - within, share * (min(ratio, 1.0) - min(ratio_ends(LEVEL)[0], 1.0)))
    return Copies(
        label=label,
        threshold=limit,
        samples=m,
        within=100 * within,
        within_low=100 * low,
        within_high=100 * high,
        chance=100 * chance,
        percentage=100 * (within - chance),
        low=lowest(low, LEVEL),
        high=100 * float(np.clip(highest, within - chance, high)),
        certain=lowest(least, jointly),
        p_value=float(counted.p_value if counted.p_value is not None else 1.0),
        images=counted.images_copied,
    )


def _thins_out(samples: np.ndarray, held_out: np.ndarray, share: float, outer: float) -> bool:
    """Whether samples, compared with held-out images, are fewer about the threshold than farther off, up to `outer`.

    Of held-out images in groups it sees so too often, which makes the upper end no lower.
    """
    rank = int(share / 2 * len(held_out))
    inner = float(np.partition(held_out, rank - 1)[rank - 1]) if rank else 0.0

    def between(low: float, high: float) -> list[int]:
        return [int(np.sum((low < part) & (part <= high))) for part in (samples, held_out)]

    for edge in EDGES:
        limit = calibrated_threshold(held_out, edge * share).rms
        (ours, theirs), (rest, control) = between(inner, limit), between(limit, outer)
        if special.bdtr(ours, ours + theirs, rest / max(rest + control, 1)) < THINNED:
            return True
    return False
