"""The text of the report: a file for each question of a study, which lays out what the stages answered."""

from workflow_scripts.report.stories.distillation import distillation
from workflow_scripts.report.stories.layout import Story
from workflow_scripts.report.stories.rebalancing import rebalancing
from workflow_scripts.report.stories.replication import replication
from workflow_scripts.report.study import Study


def stories(study: Study) -> list[Story]:
    """The stories of the questions that the study asked, in the order of the workflow."""
    asked = ((study.replicated, replication), (study.similar, rebalancing), (study.distilled, distillation))
    return [tell(study) for names, tell in asked if names]
