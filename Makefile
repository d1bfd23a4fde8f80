# Conveniences; each is one line you could type.
PYTHON ?= python

.PHONY: test lint types bench docs gpu-check

test:
	$(PYTHON) -m tests

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

bench:
	$(PYTHON) -m bench

docs:
	$(PYTHON) -m mkdocs build -f docs/mkdocs.yml --strict

# On a machine with a GPU, with or without a network; the results go into $$OUT or gpu-check/
gpu-check:
	$(PYTHON) -m bench.gpu_check
