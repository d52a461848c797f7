"""Will synthetic images help my rare classes?"""

from workflow_scripts.core.words import listed
from workflow_scripts.report.stories.layout import Choice, Part, Story, count, csv_table, figure, read_answer
from workflow_scripts.report.study import Study


def rebalancing(study: Study) -> Story:
    names = study.similar
    maps = Choice("data set", tuple(figure(study, f"similarity/{name}", "similarity", name, dataset=name)
                                    for name in names))  # fmt: skip
    measured = [_similarity(study, name) for name in names]
    picture: tuple[Choice, ...] = (maps,)
    more: tuple[Part, ...] = ()
    if study.rebalanced:
        measured.append(_runs(study))
        groups = [tuple(name.split("/", 1)) for name in dict.fromkeys(study.improvements["group"])]
        gains, counts = (
            tuple(
                figure(study, f"rebalancing/{dataset}/{group}/{kind}", kind, f"{dataset}, {group}", dataset=dataset,
                       group=group) for dataset, group in groups
            )
            for kind in ("gains", "counts")
        )  # fmt: skip
        picture = (Choice("classes", gains),)
        more = (
            Part("How alike the classes are", choices=(maps,)),
            Part("Gain against class similarity", choices=(Choice("", (figure(study, "gain_law", "gain_law"),)),)),
            Part("Images of each class", choices=(Choice("classes", counts),)),
            Part(
                "Every comparison with simpler methods",
                tables=(csv_table(study, "rebalancing/over_baselines.csv", "Gains over the best simpler method"),),
            ),
        )
    return Story(
        name="rebalancing",
        question="Will synthetic images help my rare classes?",
        idea="A generator can fill up rare classes with synthetic images. Simpler remedies, such as repeating the rare "
        "images or weighting their loss, cost no more than one training, so a generator pays only if it beats the best "
        "of them.",
        answer=read_answer(study, [f"advice/{name}.md" for name in names]),
        picture=picture,
        measured=tuple(measured),
        more=more,
    )


def _similarity(study: Study, name: str) -> str:
    similarity = study.json(f"similarity/{name}.json")
    pairs = f"{similarity['pairs']:,} pairs ({'all' if similarity['exact'] else 'a sample'})"
    return f"{name}: {similarity['definition']}; {pairs} at {similarity['resolution']} px."


def _runs(study: Study) -> str:
    settings, arms = study.config["rebalancing"], list(dict.fromkeys(study.improvements["arm"]))
    drawn = "A long-tailed set was drawn" if settings["imbalance"] else "The set is long-tailed by nature"
    return (
        f"{drawn}. A classifier was trained on it as it is and in {len(arms)} other ways ({listed(arms)}), each for "
        f"the same number of steps, with {count(len(settings['seeds']), 'seed')}. All were tested on the same balanced "
        "held-out images; gains are paired over seeds."
    )
