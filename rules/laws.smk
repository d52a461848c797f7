"""Fit the laws by which copying and membership decay: of the study, and of the published figures."""

STAGES["laws"] = __doc__


rule fit_decay:
    input:
        table=rules.collect_replication.output.table,
    output:
        **figure("decay_with_size", "Replication", "decay law, training-set size", key="size"),
        **figure("decay_with_dimension", "Replication", "decay law, intrinsic dimension", key="dimension"),
        fits="results/laws/fits.csv",
        laws="results/laws/laws.json",
    params:
        wanted_percentage=lookup(dpath="replication/wanted_percentage", within=config),
    script:
        "../workflow_scripts/laws/fit_decay.py"


rule fit_stopping:
    input:
        moments=each(f"results/moments/{RUN}.csv", LEADING_RUNS),
    output:
        **figure("stopping", "Replication", "copies over training"),
        table="results/laws/stopping.csv",
        onsets="results/laws/onsets.csv",
        laws="results/laws/stopping.json",
    params:
        runs=LEADING_RUNS,
        wanted_percentage=lookup(dpath="replication/wanted_percentage", within=config),
    script:
        "../workflow_scripts/laws/fit_stopping.py"


rule fit_membership:
    input:
        table=rules.collect_replication.output.membership_of_runs,
    output:
        **figure("membership_with_size", "Replication", "membership law, training-set size"),
        sizes="results/laws/private_sizes.csv",
        laws="results/laws/membership.json",
    params:
        wanted_percentage=lookup(dpath="replication/wanted_percentage", within=config),
    script:
        "../workflow_scripts/laws/fit_membership.py"


rule estimate_one_shot:
    input:
        table=rules.collect_replication.output.table,
        curve=rules.estimate_curve.output[0],
        stopping=rules.fit_stopping.output.laws,
        membership=rules.fit_membership.output.laws,
        verdicts=rules.collect_replication.output.verdicts,
    output:
        **figure("one_shot/{dataset}", "Replication", "smallest safe size"),
        estimate="results/one_shot/{dataset}.json",
        answer="results/one_shot/{dataset}.md",
    params:
        wanted_percentage=lookup(dpath="replication/wanted_percentage", within=config),
        published=shipped("published/feng2021_replication.csv"),
    script:
        "../workflow_scripts/laws/estimate_one_shot.py"


rule fit_published:
    output:
        **figure("published_law", "Published", "decay law, intrinsic dimension", key="law"),
        **figure("published_leave_one_out", "Published", "one-shot predictions", key="left_out"),
        **figure("published_quality", "Published", "image quality", key="quality"),
        fits="results/published/fits.csv",
        leave_one_out="results/published/leave_one_out.csv",
        binomial_fits="results/published/binomial_fits.csv",
        comparison="results/published/comparison.csv",
        size_laws="results/published/size_laws.csv",
    params:
        published=shipped(
            "published/feng2021_replication.csv",
            "published/feng2021_intrinsic_dimension.csv",
            "published/feng2021_quality.csv",
        ),
    script:
        "../workflow_scripts/laws/fit_published.py"


rule replication:
    input:
        branch(bool(RUNS), then=[*rules.collect_replication.output, *rules.fit_decay.output]),
        branch(bool(RUNS), then=[*rules.fit_stopping.output, *rules.fit_membership.output]),
        collect("results/figures/{kind}/{dataset}.svg", kind=["dimension", "one_shot"], dataset=REPLICATION["datasets"]),
        each("results/figures/{kind}/{space}.svg", RUNS, kind=["quality", "memorisation", "membership"]),
        each("results/figures/gallery/{space}/{generator}/{dataset}.svg", RUNS),
        each("results/figures/training_curves/{generator}/{dataset}.svg", RUNS),


rule one_shot:
    input:
        collect("results/one_shot/{dataset}.{kind}", dataset=REPLICATION["datasets"], kind=["json", "md"]),
        collect("results/figures/dimension/{dataset}.svg", dataset=REPLICATION["datasets"]),


rule published:
    input:
        rules.fit_published.output,
