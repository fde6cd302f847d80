# `make demo` and `make test` work on a fresh clone with Python 3.10+ and make: they create .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check
TEST_WORKERS ?= 2
TESTS := python -m pytest -n $(TEST_WORKERS) --dist worksteal
PYTEST := $(BIN)/$(TESTS)
OLDEST := .venv-oldest
OLDEST_BIN := $(OLDEST)/$(notdir $(BIN))
DEMO := runs/demo
DEMO_TRAIN := --root_log $(DEMO) --root_model $(DEMO) --suffix demo
DEMO_BEST = $(DEMO)/$(1)_moving_digits_resnet10_8f_demo/ckpt.best.pth.tar

.DELETE_ON_ERROR:
.PHONY: help demo test test-fast test-oldest gpu-check lint install install-dev clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## train H2CN and TSN on the built-in data set, test both, and H2CN on shuffled frames
	rm -rf $(DEMO)
	$(BIN)/python train.py --net H2CN $(DEMO_TRAIN)
	$(BIN)/python train.py --net TSN $(DEMO_TRAIN)
	$(BIN)/python test_models_center_crop.py --weights $(call DEMO_BEST,H2CN) --output_dir $(DEMO)/h2cn
	$(BIN)/python test_models_center_crop.py --weights $(call DEMO_BEST,H2CN) --output_dir $(DEMO)/shuffled \
	    --frame_order shuffled
	$(BIN)/python test_models_center_crop.py --weights $(call DEMO_BEST,TSN) --output_dir $(DEMO)/tsn
	$(BIN)/python pkl_to_results.py --output_dir $(DEMO)/tsn
	$(BIN)/python pkl_to_results.py --output_dir $(DEMO)/shuffled
	$(BIN)/python pkl_to_results.py --output_dir $(DEMO)/h2cn
	@echo "Curves: $(BIN)/tensorboard --logdir $(DEMO)"
	@$(BIN)/python scripts/results_table.py $(DEMO)/tsn $(DEMO)/h2cn $(DEMO)/shuffled

test: $(VENV)/.installed-dev  ## the whole test suite
	$(PYTEST)

test-fast: $(VENV)/.installed-dev  ## the tests that are not marked slow
	$(PYTEST) -m "not slow"

test-oldest:  ## the whole test suite with the oldest allowed versions, in .venv-oldest
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST_BIN)/python -m pip install -q uv
	$(OLDEST_BIN)/uv pip install -q --python $(OLDEST_BIN)/python --resolution lowest-direct -r requirements-dev.txt
	$(OLDEST_BIN)/$(TESTS)

gpu-check:  ## check this machine's GPUs in about 8 minutes; without .venv it runs python3
	$(or $(wildcard $(BIN)/python),$(PYTHON)) scripts/gpu_check.py $(ARGS)

lint: $(VENV)/.installed-dev  ## style, then types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.installed  ## .venv for the scripts
install-dev: $(VENV)/.installed-dev  ## .venv for the scripts, tests and lint

$(VENV)/pyvenv.cfg:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or newer is needed; try: make PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg requirements.txt constraints.txt
	$(PIP) install -q -r requirements.txt -c constraints.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) install -q -r requirements-dev.txt -c constraints.txt
	touch $@

clean:  ## remove the environments and everything that the demo made
	rm -rf $(VENV) $(OLDEST) $(DEMO) data/moving_digits
