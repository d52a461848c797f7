"""The results that the pages quote: taken from one run of the default study, and put into the pages between markers.

`python docs/results.py collect` reads `results/` after `make demo`, writes docs/results.json and copies the pictures
that the pages show; `... fill` puts the values into every page. `make results` does both. A value stands between
`<!--r KEY-->` and `<!--/r-->`, which readers of the page do not see.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

ROOT = Path(__file__).parent.parent
VALUES = ROOT / "docs/results.json"
# The pages that speak of results. A test looks for numbers on them that stand outside the markers.
PAGES = [ROOT / "README.md", ROOT / "docs/faq.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
QUOTED = re.compile(r"<!--r ([\w.-]+)-->(.*?)<!--/r-->", re.DOTALL)
# What looks like a result: a share, points, an interval, a p-value, a duration.
RESULT = re.compile(
    r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?: %| points?\b| min\b| minutes\b)|(?<![\w.])[+-]\d[\d,]*\.\d+"
    r"|\(\s*[+-]?\d[\d,.]*(?: %)? to [+-]?\d[\d,.]*(?: %)?\)|\bp [=<] ?0?\.\d+"
)
CONVENTIONS = {"95 %", "99 %", "1 %"}  # levels of confidence and of chance, which no run decides
# What the pages show as docs/images/NAME.png: a figure of the study.
PICTURES = {
    "attention": "attention/fashion-mnist",
    "attention_maps": "attention_maps/fashion-mnist",
    "class_similarity": "similarity/fashion-mnist",
    "decay_law": "decay_with_size",
    "distillation_trends": "trends",
    "gallery": "gallery/pixel/biggan/fashion-mnist-8",
    "rebalancing_counts": "rebalancing/fashion-mnist/all/counts",
    "rebalancing_gains": "rebalancing/fashion-mnist/all/gains",
}
NAMES = {"biggan": "BigGAN", "stylegan2": "StyleGAN2", "diffusion": "diffusion"}
ARMS = {
    "repetition": "repetition of the rare images",
    "class-weights": "class weights",
    "balanced-softmax": "balanced softmax",
    "class-gan.random": "synthetic images, at random",
    "class-gan.classifier-1": "synthetic images that a classifier accepts",
}


def fill(page: str, values: Mapping[str, str]) -> str:
    """A page with each quoted value as `values` has it. Raises KeyError for a key that is not there."""
    return QUOTED.sub(lambda quote: f"<!--r {quote[1]}-->{values[quote[1]]}<!--/r-->", page)


def unbacked(page: str) -> Iterator[str]:
    """Numbers of a page that look like results and stand outside all markers, code and links."""
    prose = re.sub(
        r"```.*?```|^    [^\n]*$|`[^`]*`|\]\([^)]*\)", "", QUOTED.sub("", page), flags=re.DOTALL | re.MULTILINE
    )
    yield from (number[0] for number in RESULT.finditer(prose) if number[0] not in CONVENTIONS)


def read() -> dict[str, str]:
    """The quoted values by key."""
    return json.loads(VALUES.read_text(encoding="utf-8"))


def collect(results: Path) -> dict[str, str]:
    """The values from the folder of a finished default study."""
    [similarity] = (results / "similarity").glob("*.json")
    measured = json.loads(similarity.read_text(encoding="utf-8"))["flat"]["between_sub"]
    return {
        **_run(results),
        "answer.replication": _answer(results / "one_shot"),
        "answer.rebalancing": _answer(results / "advice"),
        "answer.distillation": _answer(results / "distillation", "trends.md"),
        "answer.maps": _answer(results / "attention_maps"),
        "answer.choice": _answer(results / "choice"),
        "similarity.value": f"{measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f})",
        "table.copies": _copies(pd.read_csv(results / "replication/over_seeds.csv")),
        "table.gains": _gains(pd.read_csv(results / "rebalancing/improvements.csv")),
    }


def _run(results: Path) -> dict[str, str]:
    """When, on what and from which code the study was made, and how long it took."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (results / "provenance").rglob("*.json")]
    ends = [(datetime.fromisoformat(record["made"]), record["seconds"]["wall"]) for record in records]
    first, last = min(end - timedelta(seconds=wall) for end, wall in ends), max(end for end, _ in ends)
    record: dict[str, Any] = records[0]
    hardware = f"{record['hardware']['cores']} cores of {record['hardware']['processor']}"
    return {
        "run.minutes": f"{(last - first).total_seconds() / 60:.0f} minutes",
        "run.hardware": hardware,
        "run.description": f"{last:%Y-%m-%d}, {hardware}, revision {record['revision']}",
    }


def _answer(folder: Path, name: str = "*.md") -> str:
    """The first line of the only answer in a folder."""
    [path] = folder.glob(name)
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("- ")


def _copies(table: pd.DataFrame) -> str:
    """Copies over seeds by size and generator, at the study's first space and threshold."""
    table = table[(table["space"] == table["space"].iloc[0]) & (table["threshold"] == table["threshold"].iloc[0])]
    generators = [name for name in NAMES if name in set(table["generator"])]
    lines = [
        "",
        "| training images | " + " | ".join(NAMES[name] for name in generators) + " |",
        "|" + "---|" * (1 + len(generators)),
    ]
    for size, part in table.groupby("size"):
        seeds = part.set_index("generator")[["percentage", "low", "high"]].loc[generators]
        cells = [f"{mean:.1f} % ({low:.1f} to {high:.1f})" for mean, low, high in seeds.itertuples(index=False)]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _gains(table: pd.DataFrame) -> str:
    """Gains in balanced accuracy by arm, over all classes."""
    table = table[(table["measure"] == "balanced_accuracy") & table["group"].str.endswith("/all")].set_index("arm")
    lines = ["", "| arm | balanced accuracy, points |", "|---|---|"]
    for arm, words in ARMS.items():
        row = table.loc[arm]
        lines.append(f"| {words} | {row['gain']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f}) |")
    return "\n".join([*lines, ""])


def main(task: str) -> None:
    if task == "collect":
        VALUES.write_text(json.dumps(collect(ROOT / "results"), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for name, figure in PICTURES.items():
            with Image.open(ROOT / f"results/figures/{figure}.png") as picture:
                height = picture.height // (2 if name == "gallery" else 1)  # half of its sizes fit a screen
                picture.crop((0, 0, picture.width, height)).save(ROOT / f"docs/images/{name}.png", optimize=True)
        return
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8"), read()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
