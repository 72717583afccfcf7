"""TensorFlow writes log lines straight to the terminal while it is imported; keep them from hiding what is meant."""

from __future__ import annotations

import contextlib
import os


@contextlib.contextmanager
def silent_stderr():
    """Whatever writes to file descriptor 2 goes nowhere; Python exceptions still propagate."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def start_keras():
    """Import Keras, its backend and QKeras without their log lines."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr():
        import keras  # noqa: F401
        import qkeras  # noqa: F401
