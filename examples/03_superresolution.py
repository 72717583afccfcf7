"""Super-resolution in narrow accumulators: train ESPCN in floating point, convert it, train on, prove it, compare.

python examples/03_superresolution.py [EPOCHS]
"""

import sys

import keras

import a2q_keras as a2q
from a2q_keras.zoo import networks
from a2q_keras.zoo.train import enlarged, fit_superresolution, psnr

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
keras.utils.set_random_seed(0)
pictures = a2q.data.superresolution(factor=2, size=16)  # patches of scikit-learn's two photographs
network = networks.build("espcn", input_shape=(16, 16, 1), factor=2, width=16)
fit_superresolution(network, pictures, epochs, learning_rate=5e-3, batch_size=8)

ours = a2q.convert(network, acc_bits=14, weight_bits=6, act_bits=6, input_bits=8, data=pictures.x_train)
fit_superresolution(ours, pictures, epochs // 2, learning_rate=1e-3, batch_size=8)
program = a2q.integer_model(ours)
a2q.certify(program, acc_bits=14).raise_if_unsafe()

for name, outputs in {
    "nearest neighbour": enlarged(pictures.x_test, 2, "nearest"),
    "bicubic": enlarged(pictures.x_test, 2, "bicubic"),
    "ESPCN, float": network.predict(pictures.x_test, verbose=0),
    "ESPCN, 14-bit accumulators": program.run(pictures.x_test),
}.items():
    print(f"{name:27} PSNR {psnr(outputs, pictures.y_test):.2f} dB")
