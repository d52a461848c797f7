# Copycat. `make help` lists the targets.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# A link leads to an environment that another clone has made: it is used as it is, never cleared.
INSTALLED := $(if $(shell test -L .venv && echo link),,.venv/.installed)
SOURCES := Snakefile $(wildcard rules/*.smk)

.DEFAULT_GOAL := help
.PHONY: help install demo new audit estimate status image gpu-memory gpu-check bench test test-all test-faults coverage results docs lint format lock schema clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## create .venv from envs/lock.txt (needs Python 3.11)

# Built beside its place and renamed, so that an interrupted installation is not taken for a finished one.
.venv/.installed: envs/lock.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Copycat needs Python 3.11, found {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r envs/lock.txt
	@touch $@

demo: $(INSTALLED) ## run the default study: results/report.html, and the headline numbers
	$(BIN)/snakemake --quiet all
	@cat results/summary.md
	@echo && echo "The whole story: $(CURDIR)/results/report.html"

# Passed in the environment as they are given, since a path may hold spaces, quotes and dollar signs. Shells have a
# variable GROUPS of their own.
PASSED := DATA NAME CONFIG FOLDER TRAIN SAMPLES HELD_OUT
$(foreach name,$(PASSED) GROUPS,$(eval override $(name) := $$(value $(name))))
export $(PASSED)
export AUDIT_GROUPS = $(GROUPS)
new: $(INSTALLED) ## write config/NAME.yaml for your images, and say what each answer costs: make new DATA=folder NAME=mine
	@$(BIN)/python -m workflow_scripts.study.new

# It fails where more copies than the config accepts may be among the samples (docs/audit.md).
audit: $(INSTALLED) ## does a generator copy? make audit TRAIN=folder SAMPLES=samples.npz [HELD_OUT=folder] [GROUPS=csv]
	@$(BIN)/python -m workflow_scripts.study.audit

estimate: $(INSTALLED) ## estimate what each answer of a study costs here: make estimate CONFIG=config/mine.yaml
	@$(BIN)/python -m workflow_scripts.study.costs

status: $(INSTALLED) ## show what is done, running and left: make status CONFIG=config/mine.yaml (none: the default study)
	@$(BIN)/python -m workflow_scripts.study.status

# BASE=: what to build from, a folder or SIF file where no registry can be reached (docs/containers.md).
image: $(INSTALLED) ## build the container image (needs Apptainer; BASE=/folder builds from a local base)
	$(if $(BASE),COPYCAT_IMAGE_BASE=$(BASE)) $(BIN)/python -m workflow_scripts.containers.build_image

gpu-memory: $(INSTALLED) ## count the GPU memory that each rule of a study needs: make gpu-memory CONFIG=config/mine.yaml
	@$(BIN)/python -m workflow_scripts.study.gpu_needs

# It also runs without a GPU, on small networks; docs/gpu.md explains the claims.
gpu-check: $(INSTALLED) ## test on this machine's GPU, in ten minutes, what the docs claim of GPUs; writes gpu_check.md and .json
	@$(BIN)/python -m workflow_scripts.study.gpu_check

# TESTS=: which of them, and other arguments of pytest. Each core tests on its own, with one thread.
test: $(INSTALLED) ## run the quick tests (needs Python, git and make alone)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" --numprocesses=auto --dist=loadscope $(TESTS)

test-all: $(INSTALLED) ## run all tests: also containers, a cluster, a browser, kills and long runs, where the machine has them
	$(BIN)/pytest $(TESTS)

bench: $(INSTALLED) ## run the benchmarks after make demo, and keep their tables as docs/performance.md (on an idle machine)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r envs/peers.txt
	$(BIN)/python -m benchmarks > docs/.performance.md && mv docs/.performance.md docs/performance.md

# It also measures the memory that 100,000 images take. The cluster's kills need SLURM (.ci/start-slurm); without one they are skipped, and say so.
test-faults: $(INSTALLED) ## kill forty jobs at random moments and compare; keeps the tally for docs/reliability.md
	$(BIN)/pytest tests/faults --kills 36 --tally

# ROOMS=: those of tests/coverage to run (none: all); QUICK=1: two minutes, and docs/coverage.md stays as it is.
coverage: $(INSTALLED) ## simulate every interval and p-value with known truth; writes docs/coverage.md (hours)
	$(BIN)/python -m tests.coverage $(if $(QUICK),--quick) $(ROOMS)

# After `make demo`: the numbers in README, tutorials and FAQ are those of that run, and of no other.
results: $(INSTALLED) ## put the results and pictures of `make demo` into docs/ and the pages that quote them
	$(BIN)/python docs/results.py collect
	$(BIN)/python docs/results.py fill

docs: $(INSTALLED) ## build the site of the documentation: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: $(INSTALLED) ## check style, types and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/snakemake --lint --quiet

format: $(INSTALLED) ## format the Python and Snakemake files
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/snakefmt $(SOURCES)

schema: $(INSTALLED) ## write the config's JSON schema and reference from its models
	$(BIN)/python -m workflow_scripts.config schema
	$(BIN)/python -m workflow_scripts.config reference

lock: $(INSTALLED) ## renew envs/lock.txt from envs/requirements.in
	$(BIN)/uv pip compile envs/requirements.in --quiet --upgrade --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-header --output-file envs/lock.txt

clean: ## remove everything the workflow has made
	rm -rf results .snakemake
