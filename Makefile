# make demo: the whole way on the bundled digits.   make test: all tests.
# Each makes .venv and installs the package there if that has not been done for this setup.py.

PYTHON ?= python3
VENV ?= .venv
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test check clean

demo: $(VENV)/installed
	$(VENV)/bin/a2q demo

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -q

check: $(VENV)/installed-test
	scripts/check $(VENV)/bin/python

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.py a2q_keras/__init__.py | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -q -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(VENV)/bin/python -m pip install -q -e '.[test,plots]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
