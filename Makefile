# make demo: the whole way on the bundled digits.   make test: all tests.
# make test-backends: training under jax and torch.   TORCH: what to install for it, such as a build for CPUs only.
# Each makes .venv and installs the package there if that has not been done for this setup.py.

PYTHON ?= python3
TORCH ?= torch
VENV ?= .venv
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-backends check clean

demo: $(VENV)/installed
	$(VENV)/bin/a2q demo

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -q

test-backends: $(VENV)/installed-test
	$(VENV)/bin/python -m pip install -q '$(TORCH)' jax
	for backend in jax torch; do \
		KERAS_BACKEND=$$backend $(VENV)/bin/python -m pytest -n 2 --dist worksteal -q tests/layers/test_dense.py \
			tests/layers/test_conv.py tests/layers/test_batchnorm.py tests/model/test_polish.py \
			tests/quantizers/test_weight_norm.py \
			-k '(TestA2QDense or TestA2QConv2D) and (golden or loads or gradient or lowers) or falls and mlp or test_weight_norm' || exit 1; \
	done

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
