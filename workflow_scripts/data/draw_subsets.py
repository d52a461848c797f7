"""Draw one seed's order of an image set and its held-out part. Rule: draw_subsets."""

from typing import Any

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_column, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.data.subsets import draw_order


def main(snakemake: Any) -> None:
    name, params = snakemake.wildcards.dataset, snakemake.params
    labels, groups, own = (read_column(snakemake.input.labels, column) for column in ("label", "group", "held_out"))
    order, held_out = draw_order(
        labels, params.held_out, int(snakemake.wildcards.seed), params.kind, groups, own.astype(bool)
    )
    # Not a parameter: the order does not depend on the sizes, and who adds one keeps what was trained on the others.
    sizes = snakemake.config["replication"]["datasets"].get(name, {}).get("sizes", [])
    if len(order) < max(sizes, default=0):
        raise InputError(
            f"replication.datasets.{name}.sizes: the largest is {max(sizes)}, but of the {len(labels)} images "
            f"only {len(order)} are left beside {len(held_out)} held out and their groups; lower either"
        )
    write_npy(snakemake.output.order, order)
    write_npy(snakemake.output.held_out, held_out)


run(main, snakemake)
