"""Coverage of the law of onset, with runs among them that begin before the first moment or after the last."""

import numpy as np

from tests.coverage.simulate import Draw, Simulation
from workflow_scripts.laws.stopping import OnsetLaw, Training, fit_onsets

STEPS = np.arange(1, 9) * 100.0
SIZES, SAMPLES, CHANCE, WANTED = (6, 8, 11, 13, 16, 19, 23, 32), 256, 0.01, 1.0
ASKED = 16  # images


def study(random: np.random.Generator, exponent: float, scatter: float, middle: float, seeds: int) -> OnsetLaw:
    """The law of runs whose copies pass 1 % at `middle` steps at 16 images, log-normal scatter between them."""
    runs = []
    for size in SIZES * seeds:
        onset = middle * (size / ASKED) ** exponent * np.exp(scatter * random.standard_normal())
        copied = 1 - 0.99 ** ((STEPS / onset) ** random.uniform(3, 6))
        chance = CHANCE / 3 * random.uniform()
        replicas = random.binomial(SAMPLES, chance + (1 - chance) * copied).astype(float)
        runs.append(Training(size, 0, STEPS, replicas, np.full(8, float(SAMPLES)), CHANCE))
    return fit_onsets(runs, WANTED)[1]


def _study(exponent: float, scatter: float, middle: float, seeds: int) -> Draw:
    """Whether the intervals of the exponent and of another run's onset hold them."""

    def draw(random: np.random.Generator) -> dict[str, bool | None]:
        law = study(random, exponent, scatter, middle, seeds)
        if law.reason:
            return dict.fromkeys(CLAIMS)
        low, _, high = law.steps(ASKED)
        return {
            "exponent": bool(law.interval[0] <= exponent <= law.interval[1]),
            "onset": bool(low <= middle * np.exp(scatter * random.standard_normal()) <= high),
        }

    return draw


def _apart(middle: float) -> float:
    """How far the moments about it lie apart, in ln step."""
    after = int(np.searchsorted(STEPS, middle))
    return float(np.log(STEPS[after] / STEPS[after - 1]))


CLAIMS = {"exponent": "the exponent of the onset", "onset": "the onset of another run"}
DESIGNS = {
    design: _study(*design)
    for design in [
        (exponent, scatter, middle, seeds)
        for exponent in (0.0, 1.0)
        for scatter in (0.1, 0.3)
        for middle in (250.0, 450.0)
        for seeds in (1, 2)
    ]
}
SIMULATIONS = [
    Simulation(
        f"{claim} {design}", sentence, "interval", draw, 400,
        dict(zip(("exponent", "scatter", "middle", "seeds"), design, strict=True)), claim,
        "moments" if design[1] < _apart(design[2]) / 2 else "careful" if design[3] == 1 else "",
    )
    for claim, sentence in CLAIMS.items()
    for design, draw in DESIGNS.items()
]  # fmt: skip
