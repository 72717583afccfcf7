"""Accumulator-aware layers."""

import keras  # noqa: F401  before the modules here, which are imported once it is there: see `a2q_keras`
