"""What a user may choose on the command line, checked before anything long starts."""

from __future__ import annotations

from a2q_keras.errors import ConfigurationError

LIMITS = {
    "acc_bits": (2, 64),
    "weight_bits": (2, 16),
    "act_bits": (1, 16),
    "least_act_bits": (2, 16),
    "input_bits": (1, 16),
    "epochs": (1, 10**6),
    "float_epochs": (1, 10**6),
    "seed": (0, 2**32 - 1),
}
METHODS = ("exact", "a2q", "a2q+", "none")
STARTS = ("gpfq", "optq")


def check_limits(settings):
    """ConfigurationError naming the option, where a record of settings holds a value that is not allowed."""
    for name, (least, most) in LIMITS.items():
        value = getattr(settings, name, None)
        if value is not None and not least <= value <= most:
            raise ConfigurationError(
                f"--{name.replace('_', '-')} {value} is not allowed; give a number from {least} to {most}"
            )
    if settings.method not in METHODS:
        raise ConfigurationError(f"--method {settings.method} is unknown; allowed are {', '.join(METHODS)}")
    start = getattr(settings, "start", None)
    if start not in (None, *STARTS):
        raise ConfigurationError(f"--start {start} is unknown; allowed are {', '.join(STARTS)}")
