# Conveniences; each is one line you could type.
PYTHON ?= python

.PHONY: test lint types bench docs

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
