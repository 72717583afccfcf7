"""Train a digits network for 12-bit accumulators, prove it, make the firmware and simulate it.

python examples/01_digits.py
"""

import keras
from qkeras import QActivation

import a2q_keras as a2q

keras.utils.set_random_seed(0)
digits = a2q.data.digits()
model = keras.Sequential([keras.Input((64,)), QActivation("quantized_relu(4,0)")])
model.add(a2q.A2QDense(32, acc_bits=12, weight_bits=6))
model.add(QActivation("quantized_relu(4,2)"))
model.add(a2q.A2QDense(10, acc_bits=12, weight_bits=6))
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(digits.x_train, digits.y_train, epochs=40, verbose=0)

print(f"test accuracy {model.evaluate(digits.x_test, digits.y_test, verbose=0)[1]:.2%}")
a2q.print_accumulator_stats(model)
hls = a2q.to_hls(model, acc_bits=12)  # hls4ml's ModelGraph; raises AccumulatorOverflowError if 12 bits were not proven
hls.compile()
logits = hls.predict(digits.x_test.astype("float64"))
print("firmware equals Keras:", (logits == model.predict(digits.x_test, verbose=0)).all())
print(a2q.cosim(model, digits.x_test))
