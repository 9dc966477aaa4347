# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
# Both build their own environment in .venv from the lock; nothing else needs to be installed but Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
NEWEST := $(VENV)-newest
AUDIT := $(VENV)-audit
LOCKED := --require-hashes --no-deps

.PHONY: quickstart test test-slow test-newest audit-deps verify-real lint format tree results notebook lock clean

quickstart: $(READY)
	$(BIN)/medverdict quickstart

test: $(READY) lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Fails, and never skips, where the real base or the public sample is missing.
verify-real: $(READY)
	$(BIN)/python -m pytest -s -m "real or pinned" --require-real

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The quick tests with the newest versions that pyproject.toml allows, in an environment of its own: when something
# breaks, this shows whether it was theirs (only here) or ours (in `make test` too).
test-newest:
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip --disable-pip-version-check install -q --upgrade -e '.[model,serve,xlsx,sweep,dev]'
	$(NEWEST)/bin/python -m pip --disable-pip-version-check freeze --exclude-editable
	$(NEWEST)/bin/python -m pytest

# Asks the package index for known vulnerabilities of every locked version that this machine would install, names what
# it knows nothing of, and passes only where it knows all of them. Needs the network, so no test calls it.
audit-deps:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip --disable-pip-version-check install -q --upgrade pip-audit
	$(AUDIT)/bin/python tools/audit.py

# Writes the tree of the package into README.md; a test compares it with the disk.
tree: $(READY)
	$(BIN)/python tools/tree.py

# Writes docs/results.md, the charts and every figure in README and guides out of docs/results.json.
results: $(READY)
	$(BIN)/python tools/results.py

# Writes the Colab notebook out of its source; tools/notebook.py --execute also runs it and keeps the outputs.
notebook: $(READY)
	$(BIN)/python tools/notebook.py

# Needs uv (https://docs.astral.sh/uv/) on the path; only who changes dependencies runs it.
lock:
	$(PYTHON) tools/lock.py

# torch comes from a local folder of wheels (PIP_FIND_LINKS) if one has it, else from the index; the CUDA
# packages are installed only where the torch that arrived needs them.
$(READY): requirements.lock requirements-torch.lock requirements-cuda.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "medverdict needs Python 3.11 to 3.13; this is %d.%d. Try: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q $(LOCKED) -r requirements.lock
	$(PIP) install -q --no-index $(LOCKED) -r requirements-torch.lock 2>/dev/null \
		|| $(PIP) install $(LOCKED) -r requirements-torch.lock
	$(PIP) check >/dev/null 2>&1 || $(PIP) install -q $(LOCKED) -r requirements-cuda.lock
	$(PIP) install -q --no-deps --no-build-isolation -e .
	touch $(READY)

clean:
	rm -rf $(VENV) $(NEWEST) $(AUDIT) build .pytest_cache .mypy_cache .ruff_cache
