"""Fit the laws by which copying decays: of the study, and of the published figures."""

STAGES["laws"] = __doc__


rule fit_decay:
    input:
        table=rules.collect_replication.output.table,
    output:
        fits="results/laws/fits.csv",
        laws="results/laws/laws.json",
        size=report(
            "results/figures/decay_with_size.svg",
            caption="../report/decay_with_size.rst",
            category="Replication",
            labels={"figure": "decay law, training-set size"},
        ),
        size_png="results/figures/decay_with_size.png",
        size_csv="results/figures/decay_with_size.csv",
        dimension=report(
            "results/figures/decay_with_dimension.svg",
            caption="../report/decay_with_dimension.rst",
            category="Replication",
            labels={"figure": "decay law, intrinsic dimension"},
        ),
        dimension_png="results/figures/decay_with_dimension.png",
        dimension_csv="results/figures/decay_with_dimension.csv",
    log:
        "results/logs/fit_decay.log",
    benchmark:
        "results/benchmarks/fit_decay.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        wanted_percentage=lookup(dpath="replication/wanted_percentage", within=config),
    script:
        "../workflow_scripts/laws/fit_decay.py"


rule estimate_one_shot:
    input:
        table=rules.collect_replication.output.table,
        curve=rules.estimate_curve.output[0],
        published=local(ROOT / "resources/published/feng2021_replication.csv"),
    output:
        estimate="results/one_shot/{dataset}.json",
        answer="results/one_shot/{dataset}.md",
        svg=report(
            "results/figures/one_shot/{dataset}.svg",
            caption="../report/one_shot.rst",
            category="Replication",
            labels={"figure": "smallest safe size", "data set": "{dataset}"},
        ),
        png="results/figures/one_shot/{dataset}.png",
        csv="results/figures/one_shot/{dataset}.csv",
    log:
        "results/logs/estimate_one_shot/{dataset}.log",
    benchmark:
        "results/benchmarks/estimate_one_shot/{dataset}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        wanted_percentage=lookup(dpath="replication/wanted_percentage", within=config),
    script:
        "../workflow_scripts/laws/estimate_one_shot.py"


rule fit_published:
    input:
        replication=local(ROOT / "resources/published/feng2021_replication.csv"),
        dimension=local(ROOT / "resources/published/feng2021_intrinsic_dimension.csv"),
        quality=local(ROOT / "resources/published/feng2021_quality.csv"),
    output:
        fits="results/published/fits.csv",
        leave_one_out="results/published/leave_one_out.csv",
        binomial_fits="results/published/binomial_fits.csv",
        comparison="results/published/comparison.csv",
        size_laws="results/published/size_laws.csv",
        law=report(
            "results/figures/published_law.svg",
            caption="../report/published_law.rst",
            category="Published",
            labels={"figure": "decay law, intrinsic dimension"},
        ),
        law_png="results/figures/published_law.png",
        law_csv="results/figures/published_law.csv",
        left_out=report(
            "results/figures/published_leave_one_out.svg",
            caption="../report/published_leave_one_out.rst",
            category="Published",
            labels={"figure": "one-shot predictions"},
        ),
        left_out_png="results/figures/published_leave_one_out.png",
        left_out_csv="results/figures/published_leave_one_out.csv",
        quality=report(
            "results/figures/published_quality.svg",
            caption="../report/published_quality.rst",
            category="Published",
            labels={"figure": "image quality"},
        ),
        quality_png="results/figures/published_quality.png",
        quality_csv="results/figures/published_quality.csv",
    log:
        "results/logs/fit_published.log",
    benchmark:
        "results/benchmarks/fit_published.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    script:
        "../workflow_scripts/laws/fit_published.py"


rule replication:
    input:
        branch(bool(RUNS), then=[*rules.collect_replication.output, *rules.fit_decay.output]),
        collect("results/figures/{kind}/{dataset}.svg", kind=["dimension", "one_shot"], dataset=REPLICATION["datasets"]),
        collect("results/figures/{kind}/{pair[space]}.svg", kind=["quality", "memorisation"], pair=PAIRS),
        collect("results/figures/gallery/{pair[space]}/{pair[generator]}/{pair[dataset]}.svg", pair=PAIRS),
        collect("results/figures/training_curves/{pair[generator]}/{pair[dataset]}.svg", pair=PAIRS),


rule one_shot:
    input:
        collect("results/one_shot/{dataset}.{kind}", dataset=REPLICATION["datasets"], kind=["json", "md"]),
        collect("results/figures/dimension/{dataset}.svg", dataset=REPLICATION["datasets"]),


rule published:
    input:
        rules.fit_published.output,
