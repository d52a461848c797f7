"""Membership over a study: areas and told training images over seeds, LiRA, and the smallest private size."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache

import numpy as np
import pandas as pd
from scipy import special

from tests.coverage.laws import AXES, FIRST, Truth, run_shares
from tests.coverage.replication import centre, scores
from tests.coverage.simulate import Simulation
from workflow_scripts.laws.decay import MEMBERS, Points
from workflow_scripts.laws.outlook import own_outlook
from workflow_scripts.laws.study import size_fits
from workflow_scripts.metrics.membership import Membership, lira, membership
from workflow_scripts.replication.membership import membership_over_seeds

Draw = Callable[[np.random.Generator], bool | None]
STUDY = {16: 0.8, 32: 0.4, 64: 0.1, 128: 0.0}  # share of the members that a run of each size gives away
CONTROLS = 1000
ALARMS = 0.01
WANTED = 1.0


def _over_seeds(column: str, size: int, seeds: int, cv: float) -> Draw:
    """One size of a study of four; each seed's odds of telling a member are log-normal with a coefficient of
    variation."""
    scatter = float(np.sqrt(np.log1p(cv**2)))
    share = STUDY[size]
    truth = share * 0.995 + (1 - share) / 2 if column == "auc" else 100 * (share + (1 - share) * ALARMS)

    def draw(random: np.random.Generator) -> bool | None:
        attacked = []
        for members, given_away in STUDY.items():
            for seed in range(seeds):
                told = special.expit(centre(given_away, scatter) + scatter * random.standard_normal())
                result = asdict(membership(scores(random, members, float(told)), random.random(CONTROLS)))
                run = {"generator": "g", "dataset": "d", "size": members, "seed": seed, "space": "pixel"}
                attacked.append((run, {"distance": result, "lira": result}))
        row: pd.Series = membership_over_seeds(attacked).set_index("size").loc[size]
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        return None if pd.isna(low) else bool(low <= truth <= high)

    return draw


NOISE = 0.1  # of a run's logarithm of distance, beside what an image is in any run


def _lira(random: np.random.Generator, effect: float, sizes: tuple[int, ...], seeds: int) -> Membership:
    """LiRA of the largest of the first seed's nested runs."""
    image = np.arange(1000)
    member = np.array([(image // 100 == seed) & (image % 100 < size) for seed in range(seeds) for size in sizes])
    own, noise = random.normal(0, 1, 1000), random.normal(0, NOISE, member.shape)
    return lira(np.exp(own + noise - effect * member), member)[len(sizes) - 1]


def _references(sizes: tuple[int, ...], seeds: int) -> np.ndarray:
    """How many runs without it each member of the first seed's largest run has."""
    smaller = np.array([sum(place >= size for size in sizes[:-1]) for place in range(sizes[-1])])
    references = smaller + (seeds - 1) * len(sizes)
    return references[references > 0]


def _attacked(what: str, effect: float, sizes: tuple[int, ...], seeds: int) -> Draw:
    moved = effect / (NOISE * np.sqrt(1 + 1 / _references(sizes, seeds)))
    truth = special.ndtr(moved / np.sqrt(2) if what == "auc" else special.ndtri(ALARMS) + moved).mean()

    def draw(random: np.random.Generator) -> bool | None:
        result = _lira(random, effect, sizes, seeds)
        if what == "auc":
            return None if result.auc_low is None else bool(result.auc_low <= truth <= (result.auc_high or 0.0))
        told = result.told[0]
        return None if told.low is None else bool(told.low <= 100 * truth <= (told.high or 0.0))

    return draw


@cache
def _sizes(count: int) -> np.ndarray:
    return np.array([8.0, 16.0, 32.0, 64.0, 128.0, 256.0][:count])


def _private(curve: str, variation: float, count: int, seeds: int, generators: int) -> Draw:
    """Told members of each size are as few as the set; those that are not given away are told as often as others."""

    def draw(random: np.random.Generator) -> bool | None:
        sizes = np.repeat(_sizes(count), seeds)
        truths, pairs = {}, {}
        for i in range(generators):
            truth = Truth(curve, random.uniform(16, 30), random.uniform(2, 4))
            share = run_shares(random, truth, sizes, variation)
            told = random.binomial(sizes.astype(int), ALARMS + (1 - ALARMS) * share).astype(float)
            unknown, alarms = np.full(len(sizes), np.nan), np.full(len(sizes), ALARMS)
            truths[f"g{i}", "data"] = truth
            pairs[f"g{i}", "data"] = Points(sizes, unknown, told, sizes, alarms, MEMBERS)
        fits = size_fits(pairs, list(AXES.values()))[FIRST]
        if fits[0].posterior is None:
            return None
        private = own_outlook(fits).safe_size(WANTED, sizes)
        return private.low <= truths[FIRST].size(WANTED / 100) <= private.high

    return draw


SIMULATIONS = [
    *(
        Simulation(f"membership {column} over seeds {size} {seeds} {cv}", claim, "interval",
                   _over_seeds(column, size, seeds, cv), 400, {"members": size, "seeds": seeds, "CV": cv})
        for column, claim in (("auc", "the mean area under the curve over seeds"),
                              ("told_at_1", "the mean share of members told at 1 % false alarms over seeds"))
        for size in STUDY for seeds in (2, 3, 5) for cv in (0.2, 0.5, 1.0)
    ),
    *(
        Simulation(f"membership LiRA {what} {effect} {sizes} {seeds}", claim, "interval",
                   _attacked(what, effect, sizes, seeds), 600, {"effect": effect, "sizes": sizes, "seeds": seeds})
        for what, claim in (("auc", "the area under the curve of LiRA, of a run"),
                            ("told", "members told by LiRA at 1 % false alarms, of a run"))
        for effect in (0.0, 0.1, 0.3)
        for sizes, seeds in (((16, 64), 1), ((64,), 2), ((64,), 5), ((16, 32, 64), 3))
    ),
    *(
        Simulation(f"private {curve} {variation} {design}", "the smallest private size", "interval",
                   _private(curve, variation, *design), 300,
                   {"truth": curve, "CV": variation, "sizes": design[0], "seeds": design[1], "generators": design[2]})
        for curve in ("exponential", "logistic") for variation in (0.2, 0.5, 1.0)
        for design in ((4, 2, 3), (6, 1, 3), (6, 2, 3))
    ),
]  # fmt: skip
