"""Membership over a study: areas and told training images over seeds, LiRA, and the smallest private size."""

from dataclasses import asdict

import numpy as np
from scipy import special

from tests.coverage.laws import AXES, Truth, run_shares
from tests.coverage.replication import centre, scores
from tests.coverage.simulate import Answer, Draw, Simulation, few
from workflow_scripts.laws.decay import MEMBERS, Points
from workflow_scripts.laws.outlook import own_outlook
from workflow_scripts.laws.study import size_fits
from workflow_scripts.metrics.membership import lira, membership
from workflow_scripts.replication.membership import membership_over_seeds
from workflow_scripts.replication.seeds import SCATTERS

STUDY = {16: 0.8, 32: 0.4, 64: 0.1, 128: 0.0}  # share of the members that a run of each size gives away
CONTROLS = 1000
ALARMS = 0.01
WANTED = 1.0
NOISE = 0.1  # of a run's logarithm of distance, beside what an image is in any run
OVER_SEEDS = {
    "auc": "the mean area under the curve over seeds",
    "told_at_1": "the mean share of members told at 1 % false alarms over seeds",
}
LIRA = {
    "auc": "the area under the curve of LiRA, of a run",
    "told": "members told by LiRA at 1 % false alarms, of a run",
}


def _within(truth: float, low: float | None, high: float | None) -> Answer:
    return None if low is None or high is None or np.isnan(low) else bool(low <= truth <= high)


def _near_floor(claim: str, share: float, cv: float) -> bool:
    """Whether areas, or shares told, of runs scatter little on the logit scale."""
    lowest, spread = (0.5, 0.5) if claim == "auc" else (ALARMS, 1 - ALARMS)
    mean = lowest + spread * share
    scatter = spread * share * (1 - share) * np.sqrt(np.log1p(cv**2)) / (mean * (1 - mean))
    return bool(scatter < 3 * SCATTERS[0])


def _over_seeds(seeds: int, cv: float, scale: float, shared: bool) -> Draw:
    """A study of four sizes; each seed's odds of telling a member are log-normal with a coefficient of variation.

    scale: of the scores of members that are given away, among those of others, which are uniform in 0..1.
    shared: whether controls lie as near to the samples of one run as to those of any other.
    """
    scatter = float(np.sqrt(np.log1p(cv**2)))
    centres = {size: centre(share, scatter) for size, share in STUDY.items()}

    def draw(random: np.random.Generator) -> dict[str, Answer]:
        attacked, controls = [], random.random(CONTROLS)
        for size, middle in centres.items():
            for seed in range(seeds):
                told = float(special.expit(middle + scatter * random.standard_normal()))
                controls = controls if shared else random.random(CONTROLS)
                result = asdict(membership(scores(random, size, told, scale), controls))
                relative = result | {"auc": None, "reason": "no part of this simulation"}
                run = {"generator": "g", "dataset": "d", "size": size, "seed": seed, "space": "pixel"}
                attacked.append((run, {"distance": result, "lira": relative}))
        answers = {}
        for row in membership_over_seeds(attacked).to_dict("records"):
            share = STUDY[row["size"]]
            truths = {
                "auc": (1 - scale / 2) * share + (1 - share) / 2,
                "told_at_1": 100 * (share + (1 - share) * ALARMS),
            }
            for claim, truth in truths.items():
                held = _within(truth, row[f"{claim}_low"], row[f"{claim}_high"])
                answers[f"{claim} {row['size']}"] = held
        return answers

    return draw


def _references(sizes: tuple[int, ...], seeds: int) -> np.ndarray:
    """How many runs without it each member of the first seed's largest run has; those that have none are left out."""
    smaller = np.array([sum(place >= size for size in sizes[:-1]) for place in range(sizes[-1])])
    references = smaller + (seeds - 1) * len(sizes)
    return references[references > 0]


def _told(effect: float, sizes: tuple[int, ...], seeds: int) -> np.ndarray:
    """Probability that each such member is told at 1 % false alarms."""
    moved = effect / (NOISE * np.sqrt(1 + 1 / _references(sizes, seeds)))
    return special.ndtr(special.ndtri(ALARMS) + moved)


def _events(effect: float, sizes: tuple[int, ...], seeds: int) -> tuple[float, float]:
    """How many members are told, and how many are not."""
    told = _told(effect, sizes, seeds)
    return float(told.sum()), float((1 - told).sum())


def _lira(effect: float, sizes: tuple[int, ...], seeds: int) -> Draw:
    """LiRA of the largest of the first seed's nested runs; members lie nearer by `effect`, in logarithms."""
    image = np.arange(1000)
    member = np.array([(image // 100 == seed) & (image % 100 < size) for seed in range(seeds) for size in sizes])
    moved = effect / (NOISE * np.sqrt(1 + 1 / _references(sizes, seeds)))
    auc, told = special.ndtr(moved / np.sqrt(2)).mean(), _told(effect, sizes, seeds).mean()

    def draw(random: np.random.Generator) -> dict[str, Answer]:
        own, noise = random.normal(0, 1, 1000), random.normal(0, NOISE, member.shape)
        result = lira(np.exp(own + noise - effect * member), member)[len(sizes) - 1]
        return {
            "auc": _within(auc, result.auc_low, result.auc_high),
            "told": _within(100 * told, result.told[0].low, result.told[0].high),
        }

    return draw


def _private(curve: str, variation: float, count: int, seeds: int, generators: int) -> Draw:
    """As many members as images; those that are not given away are told as often as any image."""
    sizes = np.repeat(np.array([8.0, 16.0, 32.0, 64.0, 128.0, 256.0][:count]), seeds)
    unknown, alarms = np.full(len(sizes), np.nan), np.full(len(sizes), ALARMS)

    def draw(random: np.random.Generator) -> list[Answer]:
        truths, pairs = {}, {}
        for i in range(generators):
            truth = Truth(curve, random.uniform(16, 30), random.uniform(2, 4))
            share = run_shares(random, truth, sizes, variation)
            told = random.binomial(sizes.astype(int), ALARMS + (1 - ALARMS) * share).astype(float)
            truths[f"g{i}", "data"] = truth
            pairs[f"g{i}", "data"] = Points(sizes, unknown, told, sizes, alarms, MEMBERS)
        answers: list[Answer] = []
        for pair, fits in size_fits(pairs, AXES).items():
            if fits[0].posterior is None:
                answers.append(None)
                continue
            private = own_outlook(fits).safe_size(WANTED, sizes)
            answers.append(_within(truths[pair].size(WANTED / 100), private.low, private.high))
        return answers

    return draw


# Members that are given away lie well below the threshold, or up to where it truly is.
OVER_STUDIES = {
    (*design, shared): _over_seeds(*design, shared)
    for *design, shared in (
        *((seeds, cv, 0.002, False) for seeds in (2, 3, 5) for cv in (0.5, 1.0)), (3, 0.2, 0.002, False),
        *((*design, 0.01, shared) for design in ((5, 1.0), (2, 0.5)) for shared in (False, True)),
    )
}  # fmt: skip
RUNS = {
    (effect, sizes, seeds): _lira(effect, sizes, seeds)
    for effect in (0.0, 0.1, 0.3)
    for sizes, seeds in (((16, 64), 1), ((64,), 2), ((64,), 5), ((16, 32, 64), 3))
}
SIMULATIONS = [
    *(
        Simulation(f"membership {claim} over seeds {size} {seeds} {cv} {scale}{' shared' * shared}", OVER_SEEDS[claim],
                   "interval", draw, 250,
                   {"members": size, "given away": share, "seeds": seeds, "CV": cv, "scores": scale,
                    "controls": "shared" if shared else "own"},
                   f"{claim} {size}",
                   (few(seeds * size * (share + (1 - share) * ALARMS)) if claim == "told_at_1" else "")
                   or ("floor" if _near_floor(claim, share, cv) else ""))
        for claim in OVER_SEEDS for (seeds, cv, scale, shared), draw in OVER_STUDIES.items()
        for size, share in STUDY.items()
    ),
    *(
        Simulation(f"membership LiRA {claim} {effect} {sizes} {seeds}", LIRA[claim], "interval", draw, 400,
                   {"effect": effect, "sizes": ", ".join(map(str, sizes)), "seeds": seeds}, claim,
                   few(*_events(effect, sizes, seeds)) or "exact" if claim == "told" else "")
        for claim in LIRA for (effect, sizes, seeds), draw in RUNS.items()
    ),
    *(
        Simulation(f"private {curve} {variation} {design}", "the smallest private size", "interval",
                   _private(curve, variation, *design), 150,
                   {"truth": curve, "CV": variation, "sizes": design[0], "seeds": design[1], "generators": design[2]},
                   reason="average")
        for curve in ("exponential", "logistic") for variation in (0.2, 0.5, 1.0)
        for design in ((4, 2, 3), (6, 1, 3), (6, 2, 3))
    ),
]  # fmt: skip
