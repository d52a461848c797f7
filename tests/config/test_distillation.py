"""The section `distillation`."""

from tests.config.studies import DISTILLATION, Wrong, named

WRONG: Wrong = [
    ({"distillation": DISTILLATION | {"ensembles": [["weakk"]]}}, "distillation.ensembles", 'did you mean "weak"?'),
    ({"distillation": DISTILLATION | {"ensembles": [["own", "own"]]}}, "distillation.ensembles", "listed 2 times"),
    (
        {"distillation": DISTILLATION | {"checkpoints": {"weak": DISTILLATION["checkpoints"]["own"]}}},
        "distillation.checkpoints.weak",
        "expected another name",
    ),
    (
        {"distillation": DISTILLATION | {"teacher": {"overrides": {"architecture": "vgg11"}}}},
        "distillation.attention.method",
        "expected grad_cam, since the teacher's network vgg11",
    ),
]

test_what_is_wrong_is_named = named(WRONG)
