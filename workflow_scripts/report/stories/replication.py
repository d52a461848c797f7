"""Will a generator copy my images?"""

from workflow_scripts.core.words import listed
from workflow_scripts.report.stories.layout import (
    Choice,
    Part,
    Story,
    count,
    csv_table,
    figure,
    marked,
    read_answer,
)
from workflow_scripts.report.study import Study


def replication(study: Study) -> Story:
    settings = study.config["replication"]
    names, leading = study.replicated, study.laws["leading"]
    held_out = "; ".join(f"{study.config['datasets'][name]['held_out']:,} images of {name}" for name in names)
    sizes = "; ".join(f"{listed(part['sizes'])} images of {name}" for name, part in settings["datasets"].items())
    shots = tuple(figure(study, f"one_shot/{name}", "one_shot", name, dataset=name) for name in names)
    dimensions = (
        *(figure(study, f"dimension/{name}", "dimension", f"{name}: the dimension", dataset=name) for name in names),
        figure(study, "decay_with_dimension", "decay_with_dimension", "copies against the dimension"),
    )
    memorisation = tuple(
        figure(study, f"memorisation/{space}", "memorisation", space, space=space) for space in settings["spaces"]
    )
    twins = tuple(
        csv_table(study, f"near_duplicates/{name}.csv", f"Held-out images of {name} with a twin among training images")
        for name in names
        if len(study.csv(f"near_duplicates/{name}.csv"))
    )
    membership = (
        figure(study, "membership_with_size", "membership_with_size", "the law"),
        *(figure(study, f"membership/{space}", "membership", space, space=space) for space in settings["spaces"]),
    )
    quality = tuple(figure(study, f"quality/{space}", "quality", space, space=space) for space in settings["spaces"])
    return Story(
        name="replication",
        question="Will a generator copy my images?",
        idea="A generated image is a copy if it lies closer to a training image than images do that the generator "
        "never saw. Generators copy small training sets and stop copying large ones. How many images are enough?",
        answer=read_answer(study, [f"one_shot/{name}.md" for name in names], ["replication/verdicts.md"]),
        picture=(Choice("figure", (figure(study, "decay_with_size", "decay_with_size"),)),),
        measured=(
            f"{listed(settings['generators'])}: trained on {sizes}, nested subsets, with "
            f"{count(len(settings['seeds']), 'seed')}.",
            f"Of each, {settings['samples']:,} samples were compared with every training image by exact search, in "
            f"{listed(settings['spaces'])}. A copy is a sample within the threshold {leading['threshold']} of a "
            f"training image: a root-mean-square difference of {leading['threshold_rms']:.4f} (median over the runs), "
            "where 0 means equal.",
            f"The control: {held_out} that no generator saw were searched in the same way. They show what chance does.",
        ),
        more=(
            Part("The smallest safe set, and how well it was predicted", choices=(Choice("data set", shots),)),
            Part(
                "When to stop: copies over training",
                choices=(Choice("figure", (figure(study, "stopping", "stopping"),)),),
                tables=(
                    csv_table(study, "laws/onsets.csv", "When copying began"),
                    csv_table(study, "laws/stopping.csv", "Copies and quality at moments of training"),
                ),
            ),
            Part("Complexity: the intrinsic dimension", choices=(Choice("figure", dimensions),)),
            Part(
                "Membership: can one tell which images were trained on?",
                text=(
                    marked(
                        "Copies are a statement about samples, membership one about the people in the training set: "
                        "few samples may be copies while every training image can still be told from others."
                    ),
                ),
                choices=(Choice("figure", membership),),
                tables=(
                    csv_table(study, "laws/private_sizes.csv", "The smallest private size"),
                    csv_table(study, "replication/membership.csv", "Membership over seeds"),
                ),
            ),
            Part(
                "Copies over seeds, and other measures of memorisation, each beside chance",
                choices=(Choice("space", memorisation),),
                tables=(csv_table(study, "replication/over_seeds.csv", "Copies over seeds"),),
            ),
            Part("Quality and variety of the samples", choices=(Choice("space", quality),)),
            *((Part("Near-duplicates across the split, which are no control", tables=twins),) if twins else ()),
            Part("Every measurement", tables=(csv_table(study, "replication/table.csv", "Replication and quality"),)),
        ),
    )
