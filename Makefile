# make demo | make test | make lint | make reliability | make docs: each makes its environment first, on a fresh machine too.
PYTHON ?= python3
ENV := .venv
RUN := $(ENV)/bin/python

.PHONY: demo test lint reliability docs

# An environment that holds what is asked for; made again when that changes.
$(ENV)/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(ENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[dev]'
	touch $@

# A small training on generated facades, its test pictures, and pictures of twice the size it was trained at.
demo: $(ENV)/ready
	if [ -e checkpoints/demo/options.yaml ]; then $(RUN) train.py --name demo --resume; \
	else $(RUN) train.py options/demo.yaml; fi
	[ -d datasets/demo_twice ] || $(RUN) -m pix2pix prepare generated --out datasets/demo_twice \
		--train 0 --val 0 --test 12 --size 256 --seed 1
	$(RUN) test.py --name demo --dataroot datasets/demo_twice --preprocess none --results_dir results/twice
	$(RUN) test.py --name demo
	@echo "translations at the training size:  results/demo/test_latest/index.html"
	@echo "translations at twice that size:    results/twice/demo/test_latest/index.html"

test: $(ENV)/ready
	$(RUN) -m pytest

lint: $(ENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

reliability: $(ENV)/ready
	$(RUN) -m pytest -m slow --timeout 3600

docs: $(ENV)/ready
	$(RUN) -m pix2pix.options > docs/options.md
