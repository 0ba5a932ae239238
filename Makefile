# make demo   install the runtime alone into .venv and listen
# make test   install what the tests need into .venv and run them all
# make lint   check style, types and imports
# make fuzz   try 10,000 mutated inputs
# make bench  run all benchmarks, and write benchmarks/results/<machine>.md

VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml $(shell find runtime/emo_listen -type f -not -name '*.pyc')
# For tests, on Debian and Ubuntu: a virtual microphone, an MQTT broker, a trace of system calls.
PACKAGES := libasound2-plugins libportaudio2 mosquitto pulseaudio pulseaudio-utils strace iproute2

# The first Python that is 3.11 or newer and can make a virtual environment.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$python && break; done)

.PHONY: demo test lint fuzz bench packages

demo: $(VENV)/runtime-installed
	@$(BIN)/python -m emo_listen.demo

test: $(VENV)/tests-installed packages
	$(BIN)/python -m pytest --durations=15

lint: $(VENV)/tests-installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy runtime train export benchmarks tests examples
	$(BIN)/lint-imports --no-logo --no-cache

fuzz: $(VENV)/tests-installed
	$(BIN)/python -m tests.fuzz

# For a checkpoint or a corpus elsewhere: make bench BENCH="--checkpoint runs/mine --data corpus"
bench: $(VENV)/tests-installed
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
	@rm -f $(VENV)/tests-installed
	@touch $@

$(VENV)/tests-installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@rm -f $(VENV)/runtime-installed
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
