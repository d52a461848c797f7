"""Answer the primary claims about the teachers' augmentation, test the other trends, draw both. Rule: find_trends."""

from typing import Any

import pandas as pd

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv, write_csv, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.distillation.answers import claim_sentence, headline
from workflow_scripts.distillation.drawing import RESPONSES, draw_trends
from workflow_scripts.distillation.trends import (
    EXPLORATORY,
    FACTORS,
    answer_claims,
    correlation,
    distilled,
    factor_effects,
    over_seeds,
)


def main(snakemake: Any) -> None:
    table = read_csv(snakemake.input[0]).copy()  # in one piece: as read, so wide a table is one of many
    students = distilled(table)
    strengths = students["strength"].nunique()
    seeds = int(students.groupby("dataset")["seed"].nunique().min())
    claims = answer_claims(students)
    sentences = [claim_sentence(claim, strengths, seeds) for claim in claims]
    rows = [
        {"measure": claim.measure, **vars(claim.effect), "answer": claim.answer, "seeds_needed": claim.seeds_needed,
         "sentence": sentence}
        for claim, sentence in zip(claims, sentences, strict=True)
    ]  # fmt: skip
    write_csv(snakemake.output.claims, pd.DataFrame(rows))
    tests = [(x, y, published, *correlation(students, x, y)) for (x, y), published in EXPLORATORY.items()]
    rows = [
        {"x": x, "y": y, "published": published, "correlation": coefficient, "p_value": effect.p_value}
        for x, y, published, coefficient, effect in tests
    ]
    write_csv(snakemake.output.trends, pd.DataFrame(rows))
    rows = []
    for measure in [*RESPONSES, "iou_corrected", "kl"]:
        effects = factor_effects(students, measure)
        rows += [
            {
                "measure": measure,
                "factor": factor,
                **vars(over_seeds(effects[factor].to_numpy(), effects["dataset"].to_numpy())),
            }
            for factor in FACTORS
        ]
    write_csv(snakemake.output.factors, pd.DataFrame(rows))
    title = headline(claims, strengths)
    write_json(snakemake.output.summary, {"headline": title, "sentences": sentences})
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in (title, *sentences)) + "\n")
    shown = table[["dataset", "seed", "ensemble", "view", "strength"]].join(
        table.rename(columns={"teachers_iou": "iou"})[list(RESPONSES)]
    )
    figure = draw_trends(table, students, {claim.measure: claim.answer for claim in claims})
    figures.save_figure(
        figure, snakemake.output.svg, shown,
        f"Measures of teachers and students against the teachers' augmentation, a point for each student. {title}",
    )  # fmt: skip


run(main, snakemake)
