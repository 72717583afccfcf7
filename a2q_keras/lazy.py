"""Names of a package that resolve on first use, so that importing it starts neither Keras nor TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def resolver(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    where: for each public name the module of the package that defines it; for a module its own name.
    """

    def resolve(name: str) -> Any:
        if name not in where:
            allowed = ", ".join(sorted(where))
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {allowed}")
        module = import_module(f"{package}.{where[name]}")
        value = module if where[name] == name else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve
