"""What should a student learn from its teachers?"""

from workflow_scripts.core.words import listed
from workflow_scripts.report.stories.layout import Choice, Part, Story, count, csv_table, figure, read_answer
from workflow_scripts.report.study import Study


def distillation(study: Study) -> Story:
    settings, names = study.config["distillation"], study.distilled
    attention = settings["attention"]
    mapped = names if attention["method"] in ("predicted", "class_sum") else []
    starts = tuple(figure(study, f"attention_maps/{name}", "attention_maps", name, dataset=name) for name in mapped)
    looks = tuple(figure(study, f"attention/{name}", "attention", name, dataset=name) for name in names)
    return Story(
        name="distillation",
        question="What should a student learn from its teachers?",
        idea="A student network learns from an ensemble of teachers. Stronger augmentation is said to make teachers "
        "look at different places, so that the student follows them less faithfully and generalises better.",
        answer=read_answer(
            study,
            ["distillation/trends.md", *(f"choice/{name}.md" for name in names)],
            [f"diagnosis/{name}.md" for name in names],
        ),
        picture=(Choice("figure", (figure(study, "trends", "trends"),)),),
        measured=(
            _taught(study),
            f"Attention: the method {attention['method']}, as masks of what exceeds {attention['threshold']:g} of its "
            "range. Overlap is the intersection over union (IoU) of the masks of two teachers. Fidelity is the share "
            "of images on which student and teachers agree.",
        ),
        more=(
            Part("What the teachers look at", choices=(Choice("data set", looks),), folded=False),
            *([Part("What the published map shows", choices=(Choice("data set", starts),))] if starts else []),
            Part(
                "Trends and effects",
                tables=(
                    csv_table(study, "distillation/claims.csv", "The three claims that were named before the runs"),
                    csv_table(study, "distillation/trends.csv", "Other trends of the paper, exploratory"),
                    csv_table(
                        study, "distillation/two_factors.csv", "Effects of the teachers' and student's augmentation"
                    ),
                ),
            ),
            Part("Every student", tables=(csv_table(study, "distillation/table.csv", "Every student"),)),
        ),
    )


def _taught(study: Study) -> str:
    """How teachers and students were trained."""
    settings = study.config["distillation"]
    own = settings["checkpoints"]
    rungs = sorted({teacher for ensemble in settings["ensembles"] for teacher in ensemble} - {*own})
    images = f"{settings['training']:,}" if settings["training"] else "all"
    parts = [f"were trained on {images} images with the augmentations {listed(rungs)}"] if rungs else []
    parts += [f"were taken as they are ({listed(own)})"] if own else []
    views = f"the view{'s' if len(settings['views']) > 1 else ''} {listed(settings['views'])}"
    return (
        f"Teachers {' or '.join(parts)}, in {count(len(settings['ensembles']), 'ensemble')}. Students learned from "
        f"each ensemble under {views}, with {count(len(settings['seeds']), 'seed')}; others learned without teachers."
    )
