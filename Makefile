# `make help` lists the targets. Needed beforehand: Python 3.10 or later, and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

MODEL ?= cifar10
IMAGE ?= demo-out/cat.png
LABELS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check bench format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: demo-out/cat.png ## Classify a photograph: make demo [MODEL=x.tflite] [IMAGE=x.jpg] [LABELS=x.txt]
	$(BIN)/edgewise run "$(MODEL)" "$(IMAGE)" $(if $(LABELS),--labels "$(LABELS)") --save demo-out/result.png
	@echo "Another network or photograph: make demo MODEL=network.tflite IMAGE=photo.jpg LABELS=labels.txt"

demo-out/cat.png: $(VENV)/.installed-demo
	@mkdir -p demo-out
	$(BIN)/python -c "from PIL import Image; from skimage import data; Image.fromarray(data.chelsea()[:, -300:]).save('$@')"

test: check ## Everything that must pass: style, types, tests
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-slow: $(VENV)/.installed-dev ## The long sweeps
	$(BIN)/python -m pytest -n $(JOBS) -m slow

check: $(VENV)/.installed-dev ## Style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev ## Time the demo's network against LiteRT: make bench [MODEL=x.tflite]
	$(BIN)/edgewise bench "$(MODEL)" --threads 1,2 --against litert

format: $(VENV)/.installed-dev ## Bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Delete what these targets made, the virtual environment too
	rm -rf $(VENV) demo-out dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Edgewise needs Python 3.10 or later; make PYTHON=... names another"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed-demo
