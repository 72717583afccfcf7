"""Drive a compiled hls4ml firmware in a process of its own: python csim_worker.py job.json inputs.npz outputs.npz

job.json: library, function, outputs (sizes), layers (sizes by name).  inputs.npz: one float64 array (samples, size) per
input, in order.  outputs.npz: "output 0", "output 1" ... and "layer NAME", float64 of shape (samples, size).

Only numpy and ctypes, so that it starts fast; and alone, because an assertion in the firmware ends the process.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

STACK_BYTES = 2**30


class TraceData(ctypes.Structure):
    """hls4ml's `struct trace_data`."""

    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p)]


def main(job_path, inputs_path, outputs_path):
    with open(job_path) as file:
        job = json.load(file)
    with np.load(inputs_path) as file:
        inputs = [np.ascontiguousarray(file[key], np.float64) for key in file.files]
    np.savez(outputs_path, **simulate(job, inputs))


def simulate(job: dict, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Run all samples; values of the outputs and of every traced layer."""
    samples = len(inputs[0])
    outputs = [np.zeros((samples, size)) for size in job["outputs"]]
    layers = {name: np.zeros((samples, size)) for name, size in job["layers"].items()}
    library = ctypes.CDLL(job["library"])
    function = library[job["function"]]
    function.restype = None
    library.allocate_trace_storage(ctypes.c_size_t(ctypes.sizeof(ctypes.c_double)))
    traced = _trace_views(library, job["layers"]) if job["layers"] else {}
    for sample in range(samples):
        function(*[ctypes.c_void_p(array[sample].ctypes.data) for array in (*inputs, *outputs)])
        for name, view in traced.items():
            layers[name][sample] = view
    library.free_trace_storage()
    return {f"output {i}": array for i, array in enumerate(outputs)} | {f"layer {n}": a for n, a in layers.items()}


def _trace_views(library, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Arrays on the buffers in which the firmware leaves each layer's values; it keeps them from run to run."""
    found = (TraceData * len(sizes))()
    library.collect_trace_output(found)
    pointers = {item.name.decode(): ctypes.cast(item.data, ctypes.POINTER(ctypes.c_double)) for item in found}
    return {name: np.ctypeslib.as_array(pointers[name], (size,)) for name, size in sizes.items()}


if __name__ == "__main__":
    # hls4ml's layers keep all their products on the stack: a large layer needs more than a process has by default
    threading.stack_size(STACK_BYTES)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(main, *sys.argv[1:]).result()
