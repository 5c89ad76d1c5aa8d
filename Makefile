# Two commands for everybody: `make demo` and `make test`. Each sets up what it needs.
# `make quick` is for before each commit: no scheduler, one line of Hydra, less than 90 seconds.
PYTHON ?= python3
# The other supported line of Hydra has an environment of its own, for the tests
NEXT_HYDRA := hydra-core>=1.4.0rc1,<1.5
# On CI, a busy shared machine, a failed test gets a second try, and the summary lists it with its traceback
PYTEST := -m pytest -q -rsR $(if $(CI),--reruns 1 --rerun-show-tracebacks)

.PHONY: demo test quick lint docs schedulers tests tests-quick tests-schedulers tests-next soak bench clean

demo: .venv/installed
	cd example_app && ../.venv/bin/python main.py -m model=linear,mlp,deep optimizer=sgd,adam \
		hydra/launcher=local hydra/callbacks=mlxp_logging
	cd example_app && ../.venv/bin/python table.py logs

# First what downloads and installs; then, beside what waits for schedulers, what computes. Each prints when it is done
test:
	$(MAKE) --jobs=3 --output-sync=target .venv/installed .venv-next/installed schedulers
	$(MAKE) --jobs=4 --output-sync=target tests-schedulers tests tests-next lint docs

quick:
	$(MAKE) --jobs=2 --output-sync=target lint tests-quick

lint: .venv/installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

docs: .venv/installed
	.venv/bin/sphinx-build -W --keep-going -q -E docs docs/_build

tests: .venv/installed
	nice .venv/bin/python $(PYTEST) -n 2 -m "not scheduler"

tests-schedulers: .venv/installed schedulers
	.venv/bin/python $(PYTEST) -n 5 -m scheduler

tests-next: .venv-next/installed
	nice .venv-next/bin/python $(PYTEST) -n 3 -m "hydra and not once"

tests-quick: .venv/installed
	.venv/bin/python $(PYTEST) -n 2 -m "not scheduler and not slow"

# Random sequences of a user's steps, in a process for each scheduler; each violation is printed as the code of a test
SOAK_MIN ?= 60
SOAK_ON ?= slurm,oar
soak: .venv/installed schedulers
	.venv/bin/python -m tests.model.soak $(SOAK_MIN) $(SOAK_ON)

# SLURM and OAR on this machine; nothing where they cannot be, and there the tests say why they are left out
schedulers: .venv-uv/bin/uv
	./tests/clusters/up.sh

.venv-uv/bin/uv:
	./tests/make-venv $(PYTHON)

.venv/installed: .venv-uv/bin/uv setup.py pyproject.toml
	./tests/make-venv $(PYTHON) .venv -e '.[dev,docs,example]'
	touch $@

.venv-next/installed: .venv-uv/bin/uv setup.py pyproject.toml
	./tests/make-venv $(PYTHON) .venv-next -e '.[dev,example]' '$(NEXT_HYDRA)' 'omegaconf>=2.4.0rc1'
	touch $@

# This package and its peers on the same work; the submissions go to a real SLURM, which is brought up here
bench: .venv-bench/installed
	SLURM_MAXJOBS=50000 ./tests/clusters/slurm-up.sh
	.venv-bench/ours/bin/python benchmarks/submission.py .venv-bench
	.venv-bench/ours/bin/python benchmarks/start.py .venv-bench
	.venv-bench/ours/bin/python benchmarks/composition.py
	.venv-bench/ours/bin/python benchmarks/numbering.py
	.venv-bench/ours/bin/python benchmarks/metrics.py
	.venv-bench/ours/bin/python benchmarks/safe_copy.py
	.venv-bench/ours/bin/python benchmarks/listing.py
	.venv-bench/ours/bin/python benchmarks/file_operations.py
	.venv-bench/ours/bin/python benchmarks/results.py

# The same Hydra and OmegaConf for all: newer pre-releases compose more slowly
.venv-bench/installed: setup.py pyproject.toml
	./tests/make-venv $(PYTHON) .venv-bench/ours '.[results]'
	.venv-bench/ours/bin/pip freeze | grep -iE '^(hydra-core|omegaconf)==' > .venv-bench/hydra.txt
	./tests/make-venv $(PYTHON) .venv-bench/plain -r .venv-bench/hydra.txt
	./tests/make-venv $(PYTHON) .venv-bench/submitit -r .venv-bench/hydra.txt hydra-submitit-launcher
	./tests/make-venv $(PYTHON) .venv-bench/mlxp -r .venv-bench/hydra.txt mlxp
	touch $@

clean:
	rm -rf .venv .venv-next .venv-bench .venv-uv build dist *.egg-info docs/_build example_app/logs
