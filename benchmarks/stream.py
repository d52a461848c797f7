"""How an audit's time and memory grow with the number of samples, up to a million, in whole audits by Snakemake.

`python -m benchmarks.stream` makes images of 16 px, audits each number of samples against the same training images, and
keeps the table in docs/scale.md.
"""

import argparse
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.__main__ import machine
from workflow_scripts.core.files import write_json

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/scale.md"
PLACE = re.compile(r"(?<=<!--stream-->\n).*(?=<!--/stream-->)", re.DOTALL)
SIDE, TRAINING, HELD_OUT, SHARD = 16, 2_000, 1_000, 50_000  # px; images; samples of a job
COUNTS = (10_000, 100_000, 1_000_000)
OF_A_PART = "search_samples"  # the rule whose jobs the samples are split over

TEXT = """\
Whole audits in pixels, by Snakemake, of smooth random colour images of {side} px: {training:,} training images,
{held_out:,} held-out ones, {shard:,} samples at most in a job. Processor seconds, and the largest process. Measured on
{day}, {machine}.

| samples | jobs that search | s, searches | s, all else | s for 1,000 samples | GiB, searches | GiB, all else |
|---|---|---|---|---|---|---|
{rows}
"""


def write_images(path: Path, count: int, seed: int) -> None:
    """Smooth random images, uint8 (count, SIDE, SIDE, 3), written in parts."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 3))
    random = torch.Generator().manual_seed(seed)
    for start in range(0, count, 10_000):
        coarse = torch.rand(min(10_000, count - start), 3, 6, 6, generator=random)
        smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
        images[start : start + len(smooth)] = (smooth * 255).byte().permute(0, 2, 3, 1).numpy()
    images.flush()


def audited(work: Path, count: int) -> str:
    """The row of an audit of so many samples."""
    folder = work / str(count)
    folder.mkdir(parents=True, exist_ok=True)
    write_images(folder / "samples.npy", count, 2)
    for name, number, seed in (("training", TRAINING, 0), ("held-out", HELD_OUT, 1)):
        write_images(folder / f"{name}.npy", number, seed)
        np.savez(folder / f"{name}.npz", images=np.load(folder / f"{name}.npy"))
    config = {
        "datasets": {
            "smooth": {
                "source": "npz", "path": str(folder / "training.npz"),
                "held_out_path": str(folder / "held-out.npz"), "resolution": SIDE,
            }
        },
        "samples": {"many": {"source": "npy", "images": str(folder / "samples.npy")}},
        "audit": {
            "datasets": {"smooth": {"samples": ["many"]}}, "spaces": ["pixel"], "shards": -(-count // SHARD),
        },
    }  # fmt: skip
    write_json(folder / "stream.yaml", config)  # YAML holds JSON
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--profile", ROOT / "profiles/default", "--configfile", folder / "stream.yaml", "--quiet", "all"]
    subprocess.run([*map(str, command), "--", "audit"], check=True)
    used = {"search": [0.0, 0.0], "rest": [0.0, 0.0]}  # processor seconds, and MiB of the largest process
    for path in (folder / "results/benchmarks").rglob("*.tsv"):
        row = pd.read_csv(path, sep="\t").iloc[0]
        kind = used["search" if OF_A_PART in path.parts else "rest"]
        kind[0], kind[1] = kind[0] + float(row["cpu_time"]), max(kind[1], float(row["max_rss"]))
    (search, largest), (rest, of_rest) = used.values()
    each = 1000 * (search + rest) / count
    return (
        f"| {count:,} | {-(-count // SHARD)} | {search:.0f} | {rest:.0f} | {each:.2f} | {largest / 1024:.1f} | "
        f"{of_rest / 1024:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("results/stream"), help="where the audits are made")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="samples of each audit")
    options = parser.parse_args()
    rows = [audited(options.work.resolve(), count) for count in options.counts]
    facts = {"side": SIDE, "training": TRAINING, "held_out": HELD_OUT, "shard": SHARD}
    text = TEXT.format(**facts, day=date.today().isoformat(), machine=machine(), rows="\n".join(rows))
    PAGE.write_text(PLACE.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
