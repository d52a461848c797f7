"""What belongs to no single question: how the generators learned, and the published figures through the same code."""

from workflow_scripts.report import headlines
from workflow_scripts.report.stories.layout import Choice, Part, figure, marked
from workflow_scripts.report.study import Study


def training(study: Study) -> Part:
    """Samples over training, and the losses."""
    pairs = [(generator, name) for name in study.replicated for generator in study.config["replication"]["generators"]]
    return Part(
        "How the generators learned",
        choices=tuple(
            Choice(title, tuple(
                figure(study, f"{kind}/{generator}/{name}", kind, f"{generator} on {name}", generator=generator,
                       dataset=name) for generator, name in pairs
            ))
            for title, kind in (("samples over training", "training_samples"), ("losses", "training_curves"))
        ),
    )  # fmt: skip


def published(study: Study) -> Part:
    """The published figures through the same code."""
    table = headlines.published(study.csv("published/fits.csv"), study.csv("published/leave_one_out.csv"))
    labels = {
        "published_law": "decay law",
        "published_leave_one_out": "one-shot predictions",
        "published_quality": "image quality",
    }
    drawn = tuple(figure(study, name, name, label) for name, label in labels.items())
    text = marked(f"{table.caption}. {headlines.PUBLISHED}")
    return Part("Against the published figures", (text,), (Choice("figure", drawn),), (table,))
