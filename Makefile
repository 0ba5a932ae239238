# make demo         install the runtime alone into .venv and listen
# make setup        install everything for development into .venv, and the git hooks
# make test         run all tests in two processes (JOBS=2)
# make lint         check style, types and imports
# make coverage     run the tests and measure which lines they run
# make test-oldest  run the runtime's tests with the oldest dependencies that pyproject.toml allows
# make test-agents  run the tests of examples/agents, with Pipecat and LiveKit Agents (750 MB)
# make test-ray     run the tests of analyse on a Ray cluster and with S3, in .venv-ray
# make docs         build the documentation into site/, and check its links
# make fuzz         try 10,000 mutated inputs
# make bench        run all benchmarks, and write benchmarks/results/<machine>.md

VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml $(shell find runtime/emo_listen -type f -not -name '*.pyc')
# For tests, on Debian and Ubuntu: a virtual microphone, an MQTT broker, a trace of system calls.
PACKAGES := libasound2-plugins libportaudio2 mosquitto pulseaudio pulseaudio-utils strace iproute2

# Tests that need only what a device can install.
OLDEST := .venv-oldest
RUNTIME_TESTS := tests/runtime tests/test_examples.py --ignore tests/runtime/test_model.py \
	--ignore tests/runtime/test_accuracy.py --deselect \
	tests/runtime/test_privacy.py::test_a_script_of_the_clone_leaves_nothing_in_the_home

# Libraries of voice agents, for examples/agents.
AGENTS := .venv-agents
AGENT_LIBRARIES := pipecat-ai==1.14.0 livekit-agents==1.8.9

RAY := .venv-ray

# The first Python that is 3.11 or newer and can make a virtual environment.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$python && break; done)

# Processes of the tests: each takes one core and 1.5 GB of memory.
JOBS ?= 2

.PHONY: demo setup test lint coverage test-oldest test-agents test-ray docs fuzz bench packages

demo: $(VENV)/runtime-installed
	@$(BIN)/python -m emo_listen.demo

setup: $(VENV)/dev-installed packages
	@if [ -e .git ]; then $(BIN)/pre-commit install; fi

test: $(VENV)/dev-installed packages
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --durations=15

lint: $(VENV)/dev-installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy runtime train export benchmarks tests examples
	$(BIN)/lint-imports --no-logo --no-cache

# Without the privacy tests, in which a process may write no file of its own.
coverage: $(VENV)/dev-installed packages
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses $(JOBS) --dist loadfile \
		--ignore tests/runtime/test_privacy.py
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-oldest: $(OLDEST)/installed packages
	$(OLDEST)/bin/python -m pytest $(RUNTIME_TESTS) --ignore tests/runtime/test_install.py

test-agents: $(AGENTS)/installed
	$(AGENTS)/bin/python -m pytest tests/agents

test-ray: $(RAY)/installed
	$(RAY)/bin/python -m pytest tests/runtime/commands/test_analyse_ray.py \
		tests/runtime/commands/test_analyse_s3.py

docs: $(VENV)/dev-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

fuzz: $(VENV)/dev-installed
	$(BIN)/python -m tests.fuzz

# For a checkpoint or a corpus elsewhere: make bench BENCH="--checkpoint runs/mine --data corpus"
bench: $(VENV)/dev-installed
	$(BIN)/python benchmarks/results.py $(BENCH)

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer with venv was found. Install one" \
			"(Debian, Ubuntu: apt install python3 python3-venv)," \
			"or name one: make PYTHON=/path/to/python3" >&2; exit 2; fi
	$(PYTHON) -m venv $(VENV)

# Each of the two installations replaces the other's emo_listen.
$(VENV)/runtime-installed: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@rm -f $(VENV)/dev-installed
	@touch $@

$(VENV)/dev-installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@rm -f $(VENV)/runtime-installed
	@touch $@

$(OLDEST)/installed: pyproject.toml tests/support/oldest.py
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python tests/support/oldest.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(OLDEST)/constraints.txt --editable '.[test-runtime]'
	@touch $@

$(AGENTS)/installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(AGENTS)
	$(AGENTS)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable . $(AGENT_LIBRARIES) 'pytest>=8.3'
	@touch $@

$(RAY)/installed: pyproject.toml
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[ray,test-runtime]' 'moto[server]==5.2.5'
	@touch $@

packages:
	@if dpkg --status $(PACKAGES) >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
			--quiet=2 --no-install-recommends $(PACKAGES) >/dev/null || \
		echo "apt-get failed: tests of the microphone and of privacy may skip" >&2; \
	else \
		echo "Tests of the microphone and of privacy may skip; for them: apt install $(PACKAGES)" >&2; \
	fi
