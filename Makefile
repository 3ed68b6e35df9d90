# Every target sets up what it needs; `make` alone lists them.

PYTHON ?= python3
BIN := .venv/bin
DEMO := maze --start banners --context-frames 96 --seconds 12 --out out/demo.mp4 \
	--path "L*40 W*4 L*32 S*4 J*36 W*4 J*36 S*4 L*20"
BENCH := world maze --out out/bench

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1 \2/p' Makefile | \
		while read -r target text; do printf '  %-10s %s\n' "$$target" "$$text"; done

install: .venv/installed  ## set up .venv with the locked packages and worldrt itself

demo: install  ## render a 12-second walk to out/demo.mp4
	@mkdir -p out
	$(BIN)/worldrt render $(DEMO)

play: install  ## walk through the shipped world in a browser
	$(BIN)/worldrt play

test: install  ## run the whole test suite
	$(BIN)/pytest --durations=5

test-fast: install  ## run the tests that take less than 20 s each and need no GPU
	$(BIN)/pytest --durations=5 -m "not slow and not gpu"

style: install  ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install  ## check the types
	$(BIN)/pyright

bench: install  ## measure the shipped world against the simulator, into out/bench
	$(BIN)/worldrt bench $(BENCH)

clean:  ## remove caches and build products; .venv, data, runs and out stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "worldrt needs Python 3.11 or newer and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu, apt-get install python3-venv" >&2; \
		exit 1; }

# The stamp is written last, so an install that was cut short is done again.
.venv/installed: $(BIN)/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@

.PHONY: help install demo play test test-fast style types bench clean
