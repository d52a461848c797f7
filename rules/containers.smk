"""Build the image that the computing rules run in, once for each lock file and definition."""


rule build_image:
    input:
        # Their contents are part of the image's name: only its absence makes this job needed.
        [local(ancient(f"{ROOT}/{source}")) for source in IMAGE_SOURCES],
    output:
        local(IMAGE),
    log:
        "results/logs/build_image.log",
    benchmark:
        "results/benchmarks/build_image.tsv"
    localrule: True
    # Another program does the work, outside any container, on all cores.
    handover: True
    container:
        None
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m workflow_scripts.containers.build_image {output:q} {log:q}"


# Snakemake asks for a local image when a job starts, not when it plans: as an input the image is made before. `ancient`:
# an image that was copied here, however old, is as good as one that was built here.
if INSIDE:
    for computing in workflow.rules:
        # In another workflow there are rules with images of their own, and rules that were met here before.
        if computing.container_img == IMAGE and "image" not in computing.input.keys():
            computing.input_modifier = workflow.modifier.path_modifier  # a rule without inputs has none yet
            computing.set_input(image=local(ancient(IMAGE)))
