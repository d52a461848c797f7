"""Intervals and decisions of the replication stage: thresholds, copies of a run and over seeds, membership,
verdicts."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy import optimize, special

from tests.coverage.simulate import Simulation, few
from tests.replication.test_verdicts import run
from workflow_scripts.core.intervals import counts_at_quantile
from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.membership import Membership, membership
from workflow_scripts.replication.measures import replication
from workflow_scripts.replication.seeds import SCATTERS, Counted, over_seeds
from workflow_scripts.replication.summary import copies_over_seeds
from workflow_scripts.replication.verdicts import COPIES, DISAGREES, verdicts

SAMPLES = 1024
POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
STUDY = (0.5, 0.1, 0.01, 0.001)  # rates of the sizes of a study; the one that is looked at is exchanged for its first


def centre(rate: float, scatter: float) -> float:
    """Of normal logits with this scatter whose mean rate is `rate`; -inf for 0."""
    if rate == 0:
        return -np.inf
    weights = WEIGHTS / WEIGHTS.sum()
    return float(optimize.brentq(lambda x: weights @ special.expit(x + scatter * POINTS) - rate, -25.0, 25.0))


def _over_seeds(rate: float, seeds: int, cv: float) -> Callable[[np.random.Generator], bool | None]:
    """One size of a study of four sizes; each seed's odds are log-normal with this coefficient of variation."""
    scatter = float(np.sqrt(np.log1p(cv**2)))
    centres = [centre(share, scatter) for share in (rate, *STUDY[1:])]

    def draw(random: np.random.Generator) -> bool | None:
        logits = np.array(centres)[:, None] + scatter * random.standard_normal((len(centres), seeds))
        counts = random.binomial(SAMPLES, special.expit(logits))
        cells = [[Counted(np.array([float(count)]), SAMPLES) for count in cell] for cell in counts]
        summary = over_seeds(cells, 100 * counts / SAMPLES)[0]
        return None if summary.low is None or summary.high is None else summary.low <= 100 * rate <= summary.high

    return draw


def _at_a_quantile(rate: float, seeds: int, cv: float, copies_at: float) -> Callable[[np.random.Generator], bool]:
    """The same study at the distance that 1 % of held-out images reach; the same 1,000 of them for all its runs."""
    scatter, share = float(np.sqrt(np.log1p(cv**2))), 0.01
    centres = [centre(copied, scatter) for copied in (rate, *STUDY[1:])]
    hit = special.ndtr((share / copies_at - 1) / 0.3) - special.ndtr((-share / copies_at - 1) / 0.3)
    truth = 100 * (rate * hit + (1 - rate) * share)

    def draw(random: np.random.Generator) -> bool:
        held_out = random.random(1000)
        logits = np.array(centres)[:, None] + scatter * random.standard_normal((len(centres), seeds))
        cells = [
            [
                Counted(counts_at_quantile(_distances(random, copied, copies_at), held_out, share, 0.0), SAMPLES)
                for copied in cell
            ]
            for cell in special.expit(logits)
        ]
        summary = over_seeds(cells, np.zeros(logits.shape))[0]
        return (summary.low or 0.0) <= truth <= (summary.high or 0.0)

    return draw


def _distances(random: np.random.Generator, copied: float, copies_at: float) -> np.ndarray:
    """Of samples to training images: uniform in 0..1, but about `copies_at` for copies."""
    near = np.abs(copies_at * (1 + 0.3 * random.standard_normal(SAMPLES)))
    return np.where(random.random(SAMPLES) < copied, near, random.random(SAMPLES))


def _run(copied: float, held_out: int, share: float, copies_at: float) -> Callable[[np.random.Generator], bool]:
    """One run: distances of non-copies and held-out images are uniform, copies lie about `copies_at` in that scale."""

    def draw(random: np.random.Generator) -> bool:
        samples = _distances(random, copied, copies_at)
        nowhere = np.zeros(SAMPLES, dtype=int)
        measured = replication(samples, nowhere, random.random(held_out), np.ones(1), {"calibrated": share})
        hit = special.ndtr((share / copies_at - 1) / 0.3) - special.ndtr((-share / copies_at - 1) / 0.3)
        truth = 100 * (copied * hit + (1 - copied) * share)
        return (measured.low or 0.0) <= truth <= (measured.high or 0.0)

    return draw


def scores(random: np.random.Generator, count: int, told: float, scale: float = 0.01) -> np.ndarray:
    """Uniform scores; a share `told` of them is smaller by a factor `scale`."""
    return random.random(count) * np.where(random.random(count) < told, scale, 1.0)


def _area(members: int, told: float) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        result = membership(scores(random, members, told), random.random(1000))
        return (result.auc_low or 0.0) <= told * 0.995 + (1 - told) / 2 <= (result.auc_high or 0.0)

    return draw


def _told_share(told: float) -> float:
    """Of the members, those that are given away and those that are told by chance."""
    return told + (1 - told) * 0.01


def _told(members: int, controls: int, told: float) -> Callable[[np.random.Generator], bool | None]:
    def draw(random: np.random.Generator) -> bool | None:
        rate = membership(scores(random, members, told), random.random(controls)).told[0]
        return None if rate.low is None or rate.high is None else rate.low <= 100 * _told_share(told) <= rate.high

    return draw


def _images(random: np.random.Generator, groups: int, together: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, 6) of images, so many of each group, and their groups (n,). Groups differ twice as far as images."""
    group = np.repeat(np.arange(groups), together)
    return random.normal(0, 1, (groups, 6))[group] + random.normal(0, 0.5, (len(group), 6)), group


def _fresh(random: np.random.Generator, members: int, controls: int, together: int, samples: int) -> Membership:
    """Membership by samples that are images of other groups."""
    drawn, _ = _images(random, samples, 1)
    scored = []
    for count in (members, controls):
        images, group = _images(random, count // together, together)
        squares = (images**2).sum(axis=1)[:, None] + (drawn**2).sum(axis=1) - 2 * images @ drawn.T
        scored.append(Grouped(squares.min(axis=1), group))
    return membership(*scored)


def _test(**design: int) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        p_value = _fresh(random, **design).p_value
        assert p_value is not None
        return p_value <= 0.05

    return draw


def _area_of_groups(**design: int) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        result = _fresh(random, **design)
        return (result.auc_low or 0.0) <= 0.5 <= (result.auc_high or 0.0)

    return draw


def _told_of_groups(**design: int) -> Callable[[np.random.Generator], bool | None]:
    def draw(random: np.random.Generator) -> bool | None:
        rate = _fresh(random, **design).told[0]
        return None if rate.low is None or rate.high is None else rate.low <= 1 <= rate.high

    return draw


def _verdict(seeds: int, size: int) -> Callable[[np.random.Generator], bool]:
    """Whether any measure is said to show copying, of runs of which nothing is copied and nobody is given away."""

    def draw(random: np.random.Generator) -> bool:
        runs = [
            {"generator": "gan", "dataset": "set", "size": size, "seed": seed, "space": "pixel"}
            for seed in range(seeds)
        ]
        measured = [run(random, size=size)[0] for _ in runs]
        return verdicts(runs, measured, copies_over_seeds(runs, measured))[0].verdict in (COPIES, DISAGREES)

    return draw


def _near_floor(cv: float) -> str:
    """The reason `floor` where runs scatter little."""
    return "floor" if np.sqrt(np.log1p(cv**2)) < 3 * SCATTERS[0] else ""


def _grid(
    name: str,
    claim: str,
    make: Callable[..., Callable],
    settings: Sequence[dict[str, float]],
    reason: Callable[[dict[str, float]], str] = lambda _: "",
) -> list[Simulation]:
    return [
        Simulation(
            f"{name} {' '.join(map(str, chosen.values()))}",
            claim,
            "interval",
            make(**chosen),
            500,
            chosen,
            reason=reason(chosen),
        )
        for chosen in settings
    ]


MEMBERSHIP: list[tuple[str, str, Literal["interval", "p-value"], Callable[..., Callable]]] = [
    ("membership test", "membership of images that were not trained on", "p-value", _test),
    ("area of groups", "the area under the curve of images that come in groups", "interval", _area_of_groups),
    ("told of groups", "members told at 1 % false alarms, of images that come in groups", "interval", _told_of_groups),
]
SIMULATIONS = [
    *_grid(
        "copies over seeds",
        "the mean percentage of copies over seeds, in a study of four sizes",
        _over_seeds,
        [
            {"rate": rate, "seeds": seeds, "cv": cv}
            for rate in (0.0, 0.001, 0.01, 0.1, 0.5)
            for seeds in (1, 2, 3, 5)
            for cv in (0.2, 0.5, 1.0)
        ],
        lambda chosen: few(SAMPLES * chosen["seeds"] * chosen["rate"]) or _near_floor(chosen["cv"]),
    ),
    *_grid(
        "copies over seeds at a quantile",
        "the mean percentage of copies over seeds, at a calibrated threshold that has an error of its own",
        _at_a_quantile,
        [
            {"rate": rate, "seeds": seeds, "cv": cv, "copies_at": at}
            for rate in (0.1, 0.5)
            for seeds, cv in ((2, 0.5), (5, 1.0))
            for at in (0.001, 0.01)
        ],
        lambda chosen: _near_floor(chosen["cv"]),
    ),
    *_grid(
        "copies of a run",
        "the percentage of replicas of one run, at a calibrated threshold that has an error of its own",
        _run,
        [
            {"copied": copied, "held_out": held_out, "share": 0.05 if held_out < 500 else 0.01, "copies_at": at}
            for copied in (0.0, 0.01, 0.1, 0.5)
            for held_out in (100, 500, 2000)
            for at in (0.001, 0.05 if held_out < 500 else 0.01)
        ],
    ),
    *(
        Simulation(f"verdict {seeds} {size}", "a verdict of copying, or that the evidence disagrees, where nothing is "
                   "copied", "decision", _verdict(seeds, size), 500, {"seeds": seeds, "training images": size})
        for seeds in (1, 3) for size in (8, 40)
    ),
    *_grid(
        "area", "the area under the curve of membership", _area,
        [{"members": members, "told": told} for members in (8, 32, 500) for told in (0.0, 0.3, 0.8)],
    ),
    *_grid(
        "told", "the share of members told at 1 % false alarms", _told,
        [
            {"members": members, "controls": controls, "told": told}
            for members in (8, 64, 500) for controls in (200, 2000) for told in (0.1, 0.5, 0.9)
        ],
        lambda chosen: (
            few(chosen["members"] * _told_share(chosen["told"]), chosen["members"] * (1 - _told_share(chosen["told"])))
            or "exact"
        ),
    ),
    *(
        Simulation(f"{name} {' '.join(map(str, design.values()))}", claim, kind, make(**design), 1000, design,
                   reason=few(design["members"] * 0.01 / design["together"]) if name == "told of groups" else "")
        for name, claim, kind, make in MEMBERSHIP
        for design in (
            {"members": members, "controls": controls, "together": together, "samples": samples}
            for members, controls, together in (
                (8, 20, 1), (8, 1000, 1), (400, 300, 1), (160, 160, 20), (400, 1000, 10), (400, 300, 2)
            )
            for samples in (10, 200)
        )
        if name == "membership test" or design["together"] > 1
    ),
]  # fmt: skip
