"""The section `training`."""

from pydantic import Field

from workflow_scripts.config.types import Model


class Training(Model):
    """When trainings of every kind save their state. No result depends on it."""

    checkpoint_seconds: float = Field(
        60.0, ge=0, le=86_400, description="between checkpoints; what a kill can cost; 0: after every step"
    )
    limit_minutes: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        examples=[55.0],
        description="a training job stops, after a checkpoint, shortly before it has run so long, and the next run "
        "goes on from there; null: no limit but SLURM's own",
    )
    cuda_graphs: bool = Field(
        False,
        description="generators repeat their steps on one GPU as recorded CUDA graphs, which spares the start of each "
        "kernel; not tried on hardware yet: run `make gpu-check` first",
    )
