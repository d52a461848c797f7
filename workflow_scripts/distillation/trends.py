"""Does one quantity of distillation go with another, over runs, and as published? Rank correlations and two factors.

A row of the tables is one independent run: runs that share a teacher ensemble must be averaged, or made a block,
before, or a few ensembles would count as many. Within a block (such as a seed) runs are comparable; ranks are taken
and permuted within blocks only, so that what differs between blocks is neither a trend nor evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial, prod
from typing import Literal

import numpy as np
from scipy import stats

from workflow_scripts.core.intervals import LEVEL

Method = Literal["spearman", "kendall"]
Verdict = Literal["as published", "opposite", "not settled"]

MOST_ENUMERATED = 50_000  # orders of the runs, up to which all are tried
DRAWN = 9999
SIGNIFICANT = 0.05
ROUNDING = 1e-10
VALUES_AT_A_TIME = 4_000_000

# What Guo et al. 2025 report: the sign of the correlation of two columns. "strength" is that of the teachers'
# augmentation, "agreement", "kl" and "mutual_information" are of student and teachers, the rest is the student's.
PUBLISHED: dict[tuple[str, str], int] = {
    ("strength", "iou"): -1,
    ("strength", "agreement"): -1,
    ("strength", "kl"): 1,
    ("strength", "mutual_information"): -1,
    ("strength", "gap"): -1,
    ("strength", "accuracy"): 1,
    ("iou", "agreement"): 1,
    ("iou", "mutual_information"): 1,
    ("iou", "gap"): 1,
    ("iou", "accuracy"): -1,
    ("agreement", "gap"): 1,
    ("agreement", "accuracy"): -1,
}


@dataclass(frozen=True)
class Correlation:
    """A rank correlation of n runs.

    coefficient: NaN where a side does not vary within blocks; low, high: 95 % interval, -1 and 1 where runs are too
    few. p_value: two-sided, by permutation; exact: of all orders, rather than of a sample. least_p: the smallest p that
    any order of these runs could give.
    """

    coefficient: float
    low: float
    high: float
    p_value: float
    least_p: float
    exact: bool
    n: int


@dataclass(frozen=True)
class Trend:
    """A published trend in these runs; p_adjusted is Holm's, over all trends of the table."""

    x: str
    y: str
    published: int
    correlation: Correlation
    p_adjusted: float
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Effect:
    """What a factor of a linear model does from its least to its greatest value, other factors at their middle.

    effect, low, high in units of the response; partial_eta2: share of what the other terms leave unexplained; p_value:
    two-sided, by permutation. NaN where the runs cannot tell, with an infinite interval.
    """

    effect: float
    low: float
    high: float
    partial_eta2: float
    p_value: float


@dataclass(frozen=True)
class TwoFactors:
    """Effects of two factors and of their interaction, left degrees of freedom, and explained share within blocks."""

    first: Effect
    second: Effect
    interaction: Effect
    degrees: int
    r2: float


def correlate(
    x: np.ndarray, y: np.ndarray, blocks: np.ndarray | None = None, method: Method = "spearman", seed: int = 0
) -> Correlation:
    """Spearman's rho or Kendall's tau-b of x and y, (n,), with ranks and pairs within blocks (n,) only.

    Without blocks these are the usual coefficients. The p-value is the share of the orders of y within blocks whose
    coefficient is as far from 0 as the one found: all orders up to 50,000 of them, otherwise (1 + hits) / 10,000 of a
    seeded sample. The interval is Fisher's with the variance of Bonett and Wright 2000 for rho and of Fieller et al.
    1957 for tau; a coefficient of 1 is put half a step below 1 for it. Runs where x or y is NaN are left out.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y, n = x[known], y[known], int(known.sum())
    block = _codes(blocks, len(known))[known]
    scores = _rank_scores if method == "spearman" else _pair_scores
    score, other = scores(x, block), scores(y, block)
    scale = np.sqrt((score**2).sum() * (other**2).sum())
    orders, exact = permutations_within(block, seed)
    if n == 0 or scale == 0:
        return Correlation(np.nan, -1.0, 1.0, np.nan, np.nan, exact, n)
    coefficient = float(score @ other / scale)
    if method == "spearman":
        permuted = other[orders] @ score / scale
    else:
        step = max(1, VALUES_AT_A_TIME // len(score))
        chunks = [orders[start : start + step] for start in range(0, len(orders), step)]
        permuted = np.concatenate([_pair_scores(y[rows], block) @ score for rows in chunks]) / scale
    low, high = _fisher_interval(coefficient, n - len(np.unique(block)) + 1, method)
    least = _p_value(np.abs(permuted).max(), permuted, exact)
    return Correlation(coefficient, low, high, _p_value(coefficient, permuted, exact), least, exact, n)


def permutations_within(block: np.ndarray, seed: int = 0) -> tuple[np.ndarray, bool]:
    """Orders of n runs that keep each in its block, codes (n,): int64 (orders, n), and whether these are all orders.

    A sample leaves out the order as it is, which its p-value counts by itself.
    """
    members = [np.flatnonzero(block == one) for one in np.unique(block)]
    number = prod(factorial(len(one)) for one in members)
    if number <= MOST_ENUMERATED:
        orders = np.tile(np.arange(len(block)), (number, 1))
        each = [np.array(list(permutations(one.tolist()))) for one in members]
        chosen = np.array(list(product(*(range(len(one)) for one in each))), dtype=np.int64).reshape(number, -1)
        for index, own in enumerate(members):
            orders[:, own] = each[index][chosen[:, index]]
        return orders, True
    random = np.random.default_rng([8, seed, len(block)])
    orders = np.empty((DRAWN, len(block)), dtype=np.int64)
    for own in members:
        orders[:, own] = random.permuted(np.tile(own, (DRAWN, 1)), axis=1)
    return orders, False


def _p_value(found: float, permuted: np.ndarray, exact: bool) -> float:
    hits = int(np.count_nonzero(np.abs(permuted) >= abs(found) - ROUNDING * max(1.0, abs(found))))
    return hits / len(permuted) if exact else (1 + hits) / (1 + len(permuted))


def _codes(blocks: np.ndarray | None, n: int) -> np.ndarray:
    return np.zeros(n, dtype=np.int64) if blocks is None else np.unique(blocks, return_inverse=True)[1]


def _rank_scores(values: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Ranks within blocks, less their mean, (n,)."""
    scores = np.empty(len(values))
    for one in np.unique(block):
        ranks = stats.rankdata(values[block == one])
        scores[block == one] = ranks - ranks.mean()
    return scores


def _pair_scores(values: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Signs of the differences of all pairs within a block, (..., pairs), of values (..., n)."""
    first, second = np.triu_indices(len(block), 1)
    inside = block[first] == block[second]
    return np.sign(values[..., first[inside]] - values[..., second[inside]])


def _fisher_interval(coefficient: float, n: int, method: Method) -> tuple[float, float]:
    degrees = n - (3 if method == "spearman" else 4)
    if degrees < 1:
        return -1.0, 1.0
    half_step = 6 / (n * (n**2 - 1)) if method == "spearman" else 2 / (n * (n - 1))
    shrunk = float(np.clip(coefficient, half_step - 1, 1 - half_step))
    variance = (1 + shrunk**2 / 2 if method == "spearman" else 0.437) / degrees
    half = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance)
    low, high = np.tanh(np.arctanh(shrunk) - half), np.tanh(np.arctanh(shrunk) + half)
    # The ends hold the coefficient also where it was moved off 1.
    return min(float(low), coefficient), max(float(high), coefficient)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P-values adjusted for their number (Holm 1979), (k,); NaN stays and does not count."""
    p = np.asarray(p_values, dtype=float)
    adjusted, known = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def verdict(sign: float, published: int, p_adjusted: float) -> Verdict:
    """Whether an effect of this sign, with its adjusted p-value, settles a trend published as +1 or -1."""
    if not p_adjusted <= SIGNIFICANT:
        return "not settled"
    return "as published" if np.sign(sign) == published else "opposite"


def trend_table(
    runs: Mapping[str, np.ndarray],
    blocks: np.ndarray | None = None,
    published: Mapping[tuple[str, str], int] = PUBLISHED,
    method: Method = "spearman",
    seed: int = 0,
) -> list[Trend]:
    """The published trends whose two columns the runs have, tested together.

    runs: columns (n,), NaN where unknown, or a pandas table. published: sign of each pair of columns. A trend is
    settled where Holm's p-value is at most 0.05; `reason` says why one is not. Absent columns give no trend.
    """
    pairs = [pair for pair in published if pair[0] in runs and pair[1] in runs]
    found = [correlate(np.asarray(runs[x]), np.asarray(runs[y]), blocks, method, seed) for x, y in pairs]
    adjusted = holm([one.p_value for one in found])
    return [
        Trend(
            *pair,
            published[pair],
            one,
            float(p),
            verdict(one.coefficient, published[pair], p),
            _why_not(one, float(p), len(pairs)),
        )
        for pair, one, p in zip(pairs, found, adjusted, strict=True)
    ]


def _why_not(found: Correlation, p_adjusted: float, trends: int) -> str:
    if p_adjusted <= SIGNIFICANT:
        return ""
    if np.isnan(found.coefficient):
        return "one of the two does not vary"
    if found.least_p * trends > SIGNIFICANT:
        return f"{found.n} runs are too few: no order of them could settle {trends} trends"
    return f"chance gives as much with p = {p_adjusted:.2g}, adjusted for {trends} trends"


def two_factors(
    response: np.ndarray, first: np.ndarray, second: np.ndarray, blocks: np.ndarray | None = None, seed: int = 0
) -> TwoFactors:
    """Linear model of a response on two numeric factors, their product and a constant for each block, all (n,).

    A factor is the strength of a view (0 weak, 1 strong; a mixed ensemble lies between) and is scaled to -1/2..1/2, so
    that its effect is from least to greatest. Least squares with t intervals; p-values permute, within blocks, what the
    other terms leave (Freedman and Lane 1983), and compare t. A term that the runs cannot tell from the others, or no
    degree of freedom left, gives NaN.
    """
    y, block = np.asarray(response, dtype=float), _codes(blocks, len(response))
    a, b = (_scaled(np.asarray(one, dtype=float)) for one in (first, second))
    constants = np.eye(block.max() + 1)[block]
    terms = np.column_stack([a, b, a * b])
    # A term that repeats the others has no effect of its own; without it, theirs can be told.
    usable: list[int] = []
    for term in range(terms.shape[1]):
        design = np.column_stack([constants, terms[:, [*usable, term]]])
        if np.linalg.matrix_rank(design) == design.shape[1]:
            usable.append(term)
    degrees = len(y) - constants.shape[1] - len(usable)
    orders, exact = permutations_within(block, seed)
    effects = [Effect(np.nan, -np.inf, np.inf, np.nan, np.nan)] * terms.shape[1]
    for term in usable:
        rest = np.column_stack([constants, terms[:, [one for one in usable if one != term]]])
        effects[term] = _effect(y, terms[:, term], rest, degrees, orders, exact)
    full = np.column_stack([constants, terms[:, usable]])
    within = _residuals(y, constants)
    total = float(within @ within)
    left = _residuals(y, full)
    r2 = 1 - float(left @ left) / total if total > 0 else np.nan
    return TwoFactors(effects[0], effects[1], effects[2], degrees, r2)


def _scaled(factor: np.ndarray) -> np.ndarray:
    span = np.ptp(factor)
    return (factor - factor.min()) / span - 0.5 if span > 0 else np.zeros(len(factor))


def _residuals(values: np.ndarray, design: np.ndarray) -> np.ndarray:
    """What least squares on design (n, k) leave of values (n,) or (n, m)."""
    basis = np.linalg.qr(design)[0]
    return values - basis @ (basis.T @ values)


def _effect(y: np.ndarray, term: np.ndarray, rest: np.ndarray, degrees: int, orders: np.ndarray, exact: bool) -> Effect:
    own, left = _residuals(term, rest), _residuals(y, rest)
    length = float(own @ own)
    effect = float(own @ left) / length
    if degrees < 1:
        return Effect(effect, -np.inf, np.inf, np.nan, np.nan)

    def explained(residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squares that the term explains and leaves, of residuals (n, m)."""
        part = (own @ residuals) ** 2 / length
        return part, np.maximum((residuals**2).sum(axis=0) - part, 0.0)

    part, remaining = (float(one[0]) for one in explained(left[:, None]))
    if part + remaining <= ROUNDING**2 * float(y @ y):
        return Effect(effect, effect, effect, np.nan, np.nan)  # the other terms explain every value
    half = stats.t.ppf((1 + LEVEL) / 2, degrees) * np.sqrt(remaining / degrees / length)
    # The t statistic rises with this share, so they order the permutations alike, and no share is infinite.
    shares = []
    for rows in np.array_split(orders, max(1, orders.size // VALUES_AT_A_TIME)):
        one, other = explained(_residuals(left[rows].T, rest))
        shares.append(one / (one + other))
    share = part / (part + remaining)
    return Effect(effect, effect - half, effect + half, share, _p_value(share, np.concatenate(shares), exact))
