# Two commands that work on a fresh clone with Python 3.10+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := runs/demo
DEMO_RUN := H2CN_moving_digits_resnet18_8f_demo

.PHONY: demo test lint install install-dev clean

demo: $(VENV)/.installed  ## train H2CN on the built-in data set, test it, merge the scores
	rm -rf $(DEMO)
	$(BIN)/python train.py --root_log $(DEMO) --root_model $(DEMO) --suffix demo
	$(BIN)/python test_models_center_crop.py --weights $(DEMO)/$(DEMO_RUN)/ckpt.best.pth.tar --output_dir $(DEMO)/scores
	@echo "Curves: $(BIN)/tensorboard --logdir $(DEMO)"
	$(BIN)/python pkl_to_results.py --output_dir $(DEMO)/scores

test: $(VENV)/.installed-dev  ## the whole test suite
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev  ## style, then types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or newer is needed; try: make PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.txt constraints.txt
	$(PIP) install -q -r requirements.txt -c constraints.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) install -q -r requirements-dev.txt -c constraints.txt
	touch $@

clean:  ## the environment and everything that the demo made
	rm -rf $(VENV) $(DEMO) data/moving_digits
