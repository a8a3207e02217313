# make demo | make test | make newest | make lint | make reliability | make docs
# Each makes its environment first, with the tested versions of constraints.txt; `make newest` takes today's versions.
PYTHON ?= python3
ENV := .venv
RUN := $(ENV)/bin/python
TESTS := -m pytest --numprocesses 2 --dist loadfile

.PHONY: demo test newest lint reliability docs

# A fresh environment whenever what it must hold changes.
$(ENV)/ready: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv --clear $(ENV)
	$(RUN) -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
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
	$(RUN) $(TESTS)

# The tests with the newest release of every dependency, in an environment of their own.
newest:
	$(PYTHON) -m venv --clear .newest
	.newest/bin/python -m pip install --quiet --editable '.[dev]'
	.newest/bin/python -m pip freeze --exclude-editable
	.newest/bin/python $(TESTS)

lint: $(ENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

reliability: $(ENV)/ready
	$(RUN) -m pytest -m slow --timeout 3600

docs: $(ENV)/ready
	$(RUN) -m pix2pix.config > docs/options.md
