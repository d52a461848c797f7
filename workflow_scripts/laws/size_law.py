"""How the intrinsic dimension of a subset grows with its size, and back: what turns a law in dimension into one in
size.

Denser sampling alone raises the estimated dimension, so the dimension at one size is no property of the population.
Two descriptions of the same straight line between dimension and ln size:

- `fit_size_law`: size = p exp(q ID), least squares on sizes, as Feng et al. (ICCV 2021) fitted it; to compare with
  them.
- `fit_dimension_curve`: ID = intercept + slope ln size, weighted by the dimensions' own intervals. The errors lie in
  the dimension, not in the size, so this is what predictions use.
"""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.laws.decay import goodness


@dataclass(frozen=True)
class SizeLaw:
    """size = p exp(q ID); r2: squared correlation of measured and fitted sizes."""

    p: float
    q: float
    r2: float


def fit_size_law(dimension: np.ndarray, size: np.ndarray) -> SizeLaw:
    """Fit size = p exp(q ID) to (m,) dimensions and sizes by least squares on sizes."""
    # Given q the best p is known; about the regression of ln size, q closes in.
    middle = float(np.polyfit(dimension, np.log(size), 1, w=size)[0])
    half, centre = 0.9 * abs(middle), float(dimension.mean())
    for _ in range(30):
        q = np.linspace(middle - half, middle + half, 41)
        curve = np.exp(q[:, None] * (dimension - centre))
        p = (curve * size).sum(axis=1) / (curve**2).sum(axis=1)
        best = int(((p[:, None] * curve - size) ** 2).sum(axis=1).argmin())
        middle, half = float(q[best]), half / 4
    fitted = p[best] * np.exp(middle * (dimension - centre))
    return SizeLaw(float(p[best] * np.exp(-middle * centre)), middle, goodness(size, fitted)[0])


@dataclass(frozen=True)
class DimensionCurve:
    """ID = intercept + slope ln size over the measured sizes; covariance of (intercept, slope); their t distribution's
    degrees of freedom (infinite: Gaussian)."""

    intercept: float
    slope: float
    covariance: np.ndarray
    degrees: float
    sizes: tuple[float, float]

    def dimension(self, size: np.ndarray) -> np.ndarray:
        """Intrinsic dimension expected at sizes."""
        return self.intercept + self.slope * np.log(size)

    def size(self, dimension: float) -> float:
        """Size at which a dimension is expected."""
        return float(np.exp((dimension - self.intercept) / self.slope))

    def draws(self, count: int, seed: list[int]) -> np.ndarray:
        """Plausible (intercept, slope), (count, 2)."""
        random = np.random.default_rng(seed)
        # Not a Cholesky factor: with two sizes and no intervals the covariance is zero.
        values, vectors = np.linalg.eigh(self.covariance)
        noise = random.standard_normal((count, 2)) * np.sqrt(np.maximum(values, 0.0))
        if np.isfinite(self.degrees):
            noise /= np.sqrt(random.chisquare(self.degrees, (count, 1)) / self.degrees)
        return np.array([self.intercept, self.slope]) + noise @ vectors.T


def fit_dimension_curve(
    size: np.ndarray, dimension: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
) -> DimensionCurve:
    """Fit ID = intercept + slope ln size to (m,) subsets at two or more sizes, each part of the next.

    low, high: ends of the dimensions' 95 % intervals, where they are known; points then weigh by them. Scatter beyond
    them widens the result, scatter below them does not narrow it. Of two sets that hold one another, the errors are
    taken to be correlated by the share of images that they have in common (of Gaussian clouds it is a little less).
    Raises ValueError for fewer than two sizes.
    """
    if len(np.unique(size)) < 2:
        raise ValueError("the growth of the intrinsic dimension needs subsets of at least two sizes")
    known = low is not None and high is not None and bool(np.all(high > low))
    sd = (high - low) / (2 * 1.96) if known else np.ones(len(size))  # type: ignore[operator]
    common = np.minimum.outer(size, size) / np.maximum.outer(size, size) + 1e-9 * np.eye(len(size))
    whiten = np.linalg.inv(np.linalg.cholesky(common)) / sd
    design = whiten @ np.stack([np.ones(len(size)), np.log(size)], axis=1)
    theta, *_ = np.linalg.lstsq(design, whiten @ dimension, rcond=None)
    degrees = len(size) - 2
    scatter = float(((whiten @ dimension - design @ theta) ** 2).sum()) / degrees if degrees else 0.0
    widened = scatter > 1.0 or not known
    factor = scatter if widened else 1.0
    return DimensionCurve(
        intercept=float(theta[0]),
        slope=float(theta[1]),
        covariance=np.linalg.inv(design.T @ design) * factor,
        degrees=degrees if widened and degrees else np.inf,
        sizes=(float(size.min()), float(size.max())),
    )
