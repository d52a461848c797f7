"""The law in intrinsic dimension across pairs: is the level shared, as Feng et al. (ICCV 2021) state?

The level is the law's value at the mean dimension of the published data sets. "Shared decaying factor" in the article
says that it is the same for all pairs of generator and data set, while the rate is each pair's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc, stdtrit

from workflow_scripts.laws.decay import LN_100, DecayFit, Pair

LEAST_SD = 0.01  # of the levels of other pairs


@dataclass(frozen=True)
class Levels:
    """Levels (ln percentage at the axis' centre) over the pairs whose law is identified.

    mean, sd: of the level of another pair, its scatter among pairs and the mean's own error together, to be taken with
    Student's t of one degree of freedom less than pairs. mean_interval: of the mean, 95 %. scatter: plausible scatter
    between training runs (d,). pairs: how many. degrees: of freedom of the runs' scatter. p_value: that the levels
    differ by their errors alone. span: the least and largest value on the axis that was measured. seen_sd: like sd,
    with the scatter of the levels as they were measured.
    """

    mean: float
    sd: float
    mean_interval: tuple[float, float]
    scatter: np.ndarray
    pairs: int
    degrees: int
    p_value: float
    span: tuple[float, float]
    seen_sd: float = 0.0

    @property
    def another(self) -> tuple[float, float]:
        """Between which the level of another pair lies, 95 %.

        Where levels are known badly, their own errors hide the scatter among pairs: it is taken to be as large as what
        was seen.
        """
        reach = max(self.sd, self.seen_sd) * float(stdtrit(max(1, self.pairs - 1), 0.975))
        return self.mean - reach, self.mean + reach


def compare_levels(fits: Mapping[Pair, DecayFit]) -> Levels | None:
    """Compare the levels of pairs; None for fewer than two identified laws.

    Levels are Normal(mean, tau) among pairs and measured with their own errors; tau by Paule and Mandel (1982, J. Res.
    Natl. Bur. Stand. 87:377), and the mean's interval by Student's t, since few pairs tell tau badly (Hartung and Knapp
    2001, Stat. Med. 20:1771). The test is Cochran's Q, as F with the degrees of freedom of the runs' scatter.
    """
    posteriors = [fit.posterior for fit in fits.values() if fit.identified and fit.posterior is not None]
    values = [fit.values for fit in fits.values() if fit.identified]
    if len(posteriors) < 2:
        return None
    ends = np.array([np.quantile(posterior.draws.level, [0.16, 0.5, 0.84]) for posterior in posteriors])
    level, variance = ends[:, 1] + LN_100, (np.maximum(ends[:, 2] - ends[:, 0], 1e-6) / 2) ** 2
    free, degrees = len(level) - 1, sum(max(0, fit.points.telling - 2) for fit in fits.values() if fit.identified)

    def heterogeneity(between: float) -> float:
        weight = 1 / (variance + between)
        return float((weight * (level - np.average(level, weights=weight)) ** 2).sum())

    low, high = 0.0, float(np.ptp(level) ** 2) * len(level)
    if heterogeneity(0.0) <= free:
        high = 0.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if heterogeneity(middle) > free else (low, middle)
    weight = 1 / (variance + high)
    mean, error = float(np.average(level, weights=weight)), float(np.sqrt(1 / weight.sum()))
    reach = float(stdtrit(free, 0.975)) * error
    return Levels(
        mean=mean,
        sd=max(LEAST_SD, float(np.hypot(np.sqrt(high), error))),
        mean_interval=(mean - reach, mean + reach),
        scatter=np.concatenate([posterior.draws.scatter for posterior in posteriors]),
        pairs=len(level),
        degrees=degrees,
        p_value=float(fdtrc(free, max(degrees, 1), heterogeneity(0.0) / free)),
        span=(float(np.min(np.concatenate(values))), float(np.max(np.concatenate(values)))),
        seen_sd=float(level.std(ddof=1) * np.sqrt(1 + 1 / len(level))),
    )
