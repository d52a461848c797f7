"""Say which ensemble makes the best students, and whether any beats no teacher. Rule: choose_teachers."""

from typing import Any

import numpy as np

from workflow_scripts.core.files import read_column, read_npy, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.distillation.answers import choice_sentence, student_in_words
from workflow_scripts.distillation.choice import choose_students
from workflow_scripts.distillation.estimates import flatten


def main(snakemake: Any) -> None:
    files, params = snakemake.input, snakemake.params
    labels, seeds = read_column(files.labels, "label"), len(files.validation)
    students: dict[str, list[np.ndarray]] = {name: [] for name in params.students}
    paths = iter(files.logits)  # by seed, then by student
    for rows in files.validation:
        for name in students:
            students[name].append(read_npy(next(paths)).argmax(1) == labels[read_npy(rows)])
    hits = {name: np.stack(each) for name, each in students.items()}
    taught = [name for name in hits if name.split(".")[0] in params.ensembles]
    untaught = [name for name in hits if name not in taught]
    choice = choose_students(*(np.stack([hits[name] for name in kind]) for kind in (taught, untaught)))
    best, control = taught[choice.taught], untaught[choice.untaught]
    in_words, control_in_words = (student_in_words(name, params.ensembles) for name in (best, control))
    sentence = choice_sentence(choice, in_words, control_in_words, seeds)
    result = {
        "answer": sentence,
        "best_student": best,
        "best_without_teachers": control,
        "steady": choice.steady,
        "accuracy": {name: each.mean(axis=1).tolist() for name, each in hits.items()},
        **flatten({"gain": choice.gain}),
    }
    write_json(snakemake.output.choice, result)
    write_text(snakemake.output.answer, f"- {sentence}\n")


run(main, snakemake)
