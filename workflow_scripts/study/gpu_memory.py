"""How much GPU memory the work of the GPU rules takes, without a GPU: it is computed on tensors without contents.

`python -m workflow_scripts.study.gpu_memory` writes resources/gpu_memory.json for the presets, in some minutes, and
prints the table of docs/gpu.md.
"""

import json

from workflow_scripts.generators.model import ImageShape
from workflow_scripts.study.gpu_check import TABLE
from workflow_scripts.study.gpu_work import WORKS, Work
from workflow_scripts.study.live_bytes import peak_bytes

# px; work without a preset has the sizes of `small`.
RESOLUTIONS = {"small": (32, 64, 128), "": (32, 64, 128), "paper": (64, 128, 256)}
# What a GPU holds beside the tensors: CUDA's context and its libraries' work space, and gaps between the tensors.
CONTEXT_MB, GAPS = 1000, 1.2


def needed_mb(work: Work, shape: ImageShape) -> int:
    """Megabytes of GPU memory that it takes beside the data set's images, which trainings keep there as bytes."""
    return round(CONTEXT_MB + GAPS * peak_bytes(lambda: work.prepare(shape), work.values) / 1e6)


def as_table(needed: dict[str, dict[str, dict[str, int]]]) -> str:
    """Markdown: gigabytes by what is computed, preset and resolution."""
    sizes = sorted({int(size) for presets in needed.values() for sizes in presets.values() for size in sizes})
    head = ["", "preset", "images at once", *(f"{size} px" for size in sizes)]
    rows = [
        [kind, preset, str(WORKS[kind][preset].batch or "")]
        + [f"{megabytes[str(size)] / 1e3:.1f}" if str(size) in megabytes else "" for size in sizes]
        for kind, presets in needed.items()
        for preset, megabytes in presets.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    needed = {
        kind: {
            preset: {str(size): needed_mb(work, ImageShape(size, 3)) for size in RESOLUTIONS[preset]}
            for preset, work in presets.items()
        }
        for kind, presets in WORKS.items()
    }
    TABLE.write_text(json.dumps(needed, indent=1) + "\n")
    print(as_table(needed))


if __name__ == "__main__":
    main()
