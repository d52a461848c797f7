"""How alike the features of two networks are: linear centred kernel alignment."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.distillation.estimates import NOTHING, Estimate

BLOCKS = 20  # of the jackknife
SMALLEST_FOR_CKA = 4 * BLOCKS


def linear_cka(first: np.ndarray, second: np.ndarray, debiased: bool = True) -> Estimate:
    """Linear centred kernel alignment of features of the same images, (N, D) and (N, E), at least 80 images.

    Biased: Kornblith et al. 2019, in 0..1, and near 1 whatever the features once D and E exceed N. Debiased: the same
    ratio of the unbiased HSIC (Song et al. 2012; Nguyen et al. 2021), about 0 for unrelated features, at most 1. All
    from sums over images of products of features: no N x N matrix. The interval is a jackknife over 20 blocks of
    images (a resample would repeat images, whose likeness to themselves it would count); end at 1. NaN for features
    that do not vary and for fewer images.
    """
    if len(first) < SMALLEST_FOR_CKA:
        return NOTHING
    x, y = (np.asarray(side, dtype=np.float64).reshape(len(side), -1) for side in (first, second))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    blocks = np.arange(len(x)) % BLOCKS  # interleaved: sorted classes must not fall into one block
    alignments = []
    products = [_Products.of_blocks(*pair, blocks) for pair in ((x, y), (x, x), (y, y))]
    for left_out in (None, *range(BLOCKS)):
        cross, own, other = (product.hsic(left_out, debiased) for product in products)
        scale = own * other if min(own, other) > 0 else np.nan
        alignments.append(cross / np.sqrt(scale))
    value, without = alignments[0], np.array(alignments[1:])
    if np.isnan(alignments).any():
        return NOTHING
    half = stats.t.ppf((1 + LEVEL) / 2, BLOCKS - 1) * np.sqrt((BLOCKS - 1) * without.var())
    return Estimate(float(value), float(value - half), float(min(1.0, value + half)))


@dataclass(frozen=True)
class _Products:
    """Sums over the images of each block, (BLOCKS, ...), that give the HSIC of any set of whole blocks.

    With k, l the squared lengths of the rows of x and y: x'y, sum x, sum y, x'l, y'k, and (count, sum k, sum l,
    sum kl).
    """

    cross: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xl: np.ndarray
    yk: np.ndarray
    scalars: np.ndarray

    @staticmethod
    def of_blocks(x: np.ndarray, y: np.ndarray, blocks: np.ndarray) -> "_Products":
        sums = []
        for block in range(BLOCKS):
            a, b = x[blocks == block], y[blocks == block]
            k, m = (a**2).sum(axis=1), (b**2).sum(axis=1)
            sums.append((a.T @ b, a.sum(axis=0), b.sum(axis=0), a.T @ m, b.T @ k, (len(a), k.sum(), m.sum(), k @ m)))
        return _Products(*(np.array(part, dtype=float) for part in zip(*sums, strict=True)))

    def hsic(self, left_out: int | None, debiased: bool) -> float:
        """HSIC without a block, up to a factor of the number of images that cancels in the alignment."""
        cross, x, y, xl, yk, scalars = (
            part.sum(axis=0) - (0 if left_out is None else part[left_out])
            for part in (self.cross, self.x, self.y, self.xl, self.yk, self.scalars)
        )
        n, k, m, km = scalars
        if not debiased:
            return float(((cross - np.outer(x, y) / n) ** 2).sum())
        trace = (cross**2).sum() - km
        totals = (x @ x - k) * (y @ y - m)
        mixed = x @ cross @ y - x @ xl - y @ yk + km
        return float(trace + totals / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2))
