"""Save the integer program and its certificate, and use both without Keras or TensorFlow.

python examples/02_firmware_from_file.py [FOLDER]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import keras

import a2q_keras as a2q

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
model = keras.Sequential(
    [keras.Input((8,)), a2q.A2QDense(4, acc_bits=14, input_quantizer="quantized_bits(8,2,alpha=1)")]
)
a2q.integer_model(model).save(folder / "program.a2q")
a2q.certify(model).save(folder / "certificate.json")

# Another process, which may be on a machine with numpy only: check the proof again, run the network in integers.
reader = """
import sys, numpy
import a2q_keras as a2q
from a2q_keras.integer.certificate import Certificate
proof = Certificate.load(sys.argv[1] + "/certificate.json").verify()
program = a2q.load_integer_model(sys.argv[1] + "/program.a2q")
print("proven accumulator bits:", proof.acc_bits)
print("outputs:", program.run(numpy.linspace(-1, 1, 8)[None]))
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""
subprocess.run([sys.executable, "-c", reader, str(folder)], check=True)
