# Two commands need nothing but Python 3.11 or newer and a compiler: `make demo` and `make test`.
# VENV=  uses the Python at hand, with the torch that is installed there.

VENV ?= .venv
PYTHON ?= python3
TORCH ?= torch==2.13.0
OUT ?= runs/gpu-check

ifeq ($(strip $(VENV)),)
BIN :=
READY := build/.installed
PY := $(PYTHON)
else
BIN := $(VENV)/bin/
READY := $(VENV)/.installed
PY := $(BIN)python
endif

SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc -type f)

.PHONY: demo test bench results lint types format sass gpu-check clean

demo: $(READY)
	rm -rf runs/demo
	$(PY) -m poseda compare --out runs/demo --seeds 0 --width 256 \
	  --pretrain.steps 1500 --adapt.steps 1200 --adapt.warmup 200

# A process for each core; threads of torch's in each would only wait for one another.
test: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile

# Meant to take five minutes on two cores: once compiling took its share, rows go without torch.compile.
# So augment, which takes most of that, comes last, and the form of it with a direction after that.
BENCH := --batch 1 1024 16384 --threads 1 2
bench: $(READY)
	mkdir -p runs
	$(PY) -m benchmarks ops $(BENCH) --seconds 0.5 --compile-seconds 150 --json runs/bench.json \
	  --ops gpa project bones pose_from_bones kcs part_kcs augment augment_aligned

# What the README shows; to be run on a quiet machine. Takes over a quarter of an hour.
results: $(READY)
	$(PY) -m benchmarks ops $(BENCH) --json benchmarks/results/ops_cpu.json
	$(PY) -m benchmarks train --threads 2 --profile --json benchmarks/results/train_cpu.json
	$(PY) -m benchmarks instructions --json benchmarks/results/instructions_cpu.json
	$(PY) -m benchmarks readme

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' | xargs $(BIN)clang-format --dry-run --Werror

types: $(READY)
	$(PY) -m mypy

format: $(READY)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' | xargs $(BIN)clang-format -i

# The machine code of the CUDA kernels, which takes no GPU. Without nvcc there are none, and it says that
# nothing was checked.
sass: $(READY)
	{ command -v cuobjdump && command -v nvdisasm; } >/dev/null || \
	  $(PY) -m pip install -q nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm || true
	$(PY) scripts/check_sass.py $(if $(shell command -v nvcc),--require)

# Builds with the Python at hand, so that it needs no network: see scripts/gpu_check.py.
gpu-check:
	$(PYTHON) scripts/gpu_check.py --out $(OUT)

clean:
	rm -rf build .venv

# torch comes first and alone: a looser requirement would bring gigabytes of CUDA packages. One that
# $(PYTHON) has already is used. The package is built against it, so without build isolation.
HAS_TORCH := -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 11)'
$(READY): $(SOURCES)
ifneq ($(strip $(VENV)),)
	test -x $(PY) || if $(PYTHON) $(HAS_TORCH) 2>/dev/null; \
	  then $(PYTHON) -m venv --system-site-packages $(VENV); else $(PYTHON) -m venv $(VENV); fi
endif
	$(PY) $(HAS_TORCH) 2>/dev/null || $(PY) -m pip install -q '$(TORCH)'
	$(PY) -m pip install -q scikit-build-core pybind11 ninja
	command -v cmake >/dev/null || $(PY) -m pip install -q cmake
	$(PY) -m pip install -q --no-build-isolation -e '.[dev]'
	mkdir -p $(dir $@) && touch $@
