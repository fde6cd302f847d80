# Two commands that work on a fresh clone with Python 3.10+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TEST_WORKERS ?= 2
DEMO := runs/demo
DEMO_TRAIN := --epochs 14 --root_log $(DEMO) --root_model $(DEMO) --suffix demo
DEMO_BEST = $(DEMO)/$(1)_moving_digits_resnet18_8f_demo/ckpt.best.pth.tar

.PHONY: demo test gpu-check lint install install-dev clean

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
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal

gpu-check:  ## prove it on this machine's GPUs, in about 8 minutes; without .venv by $(PYTHON)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) scripts/gpu_check.py $(ARGS)

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
