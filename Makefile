# Two commands for everybody: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
# The other supported line of Hydra has an environment of its own, for the tests
NEXT_HYDRA := hydra-core>=1.4.0rc1,<1.5

.PHONY: demo test lint docs tests tests-next bench clean

demo: .venv/installed
	cd example_app && ../.venv/bin/python main.py -m model=linear,mlp,deep optimizer=sgd,adam \
		hydra/launcher=local hydra/callbacks=mlxp_logging
	cd example_app && ../.venv/bin/python table.py logs

test: lint docs tests tests-next

lint: .venv/installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

docs: .venv/installed
	.venv/bin/sphinx-build -W --keep-going -q -E docs docs/_build

tests: .venv/installed
	.venv/bin/python -m pytest -rs -n 3 --dist loadfile -m "not alone"
	.venv/bin/python -m pytest -rs -m alone

tests-next: .venv-next/installed
	.venv-next/bin/python -m pytest -rs -n 3 --dist loadfile -m "not once and not alone"
	.venv-next/bin/python -m pytest -rs -m "alone and not once"

.venv/installed: setup.py pyproject.toml
	./tests/make-venv $(PYTHON) .venv -e '.[dev,docs,example]'
	touch $@

.venv-next/installed: setup.py pyproject.toml
	./tests/make-venv $(PYTHON) .venv-next --pre '$(NEXT_HYDRA)' 'omegaconf>=2.4.0rc1'
	./tests/make-venv $(PYTHON) .venv-next -e '.[dev,example]'
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

# The same Hydra and OmegaConf for all: newer pre-releases compose more slowly
.venv-bench/installed: setup.py pyproject.toml
	./tests/make-venv $(PYTHON) .venv-bench/ours .
	.venv-bench/ours/bin/pip freeze | grep -iE '^(hydra-core|omegaconf)==' > .venv-bench/hydra.txt
	./tests/make-venv $(PYTHON) .venv-bench/plain -r .venv-bench/hydra.txt
	./tests/make-venv $(PYTHON) .venv-bench/submitit -r .venv-bench/hydra.txt hydra-submitit-launcher
	./tests/make-venv $(PYTHON) .venv-bench/mlxp -r .venv-bench/hydra.txt mlxp
	touch $@

clean:
	rm -rf .venv .venv-next .venv-bench build dist *.egg-info docs/_build example_app/logs
