"""What hls4ml would choose, against what can be worked out by hand."""

import a2q_keras as a2q
from a2q_keras.hls.inference import inferred_bits
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Dense, Input, IntegerProgram
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.report import tables
from benchmarks.firmware.networks import NETWORKS


def test_one_layer_by_hand():
    # 4 inputs of 3 bits, weights of 3 bits: 3 + 3 + log2(4) bits by type, one more for the bias, as wide as the sum by
    # type; by value 7 * (3 + 2 + 1) = 42 and 7 * -1 - 2 = -9: 7 bits
    weights, bias = [[3], [2], [1], [-1]], [-2]
    source = FixedPoint(3, 0, signed=False)
    op = Dense("fc", "x", weights, bias, FixedPoint(3, 0, signed=True), 8)
    (found,) = inferred_bits(IntegerProgram("one", (Input("x", (4,), source),), (op,), ("fc",)))
    assert (found.layer, found.auto, found.bit_exact) == ("fc", 9, 7)


def test_hls4ml_by_type_takes_what_the_certificate_says():
    for name in ("mlp", "cnn", "depthwise", "residual", "average", "unet"):
        program = NETWORKS[name]()
        proof = certify(program)
        for layer, found in zip(proof.layers, inferred_bits(program)):
            assert found.auto == layer.hls4ml_bits, (name, layer.name)
            assert found.bit_exact is None or found.bit_exact >= int(layer.needed_bits.max())


def test_the_public_rows_and_their_table():
    program = NETWORKS["mlp"]()
    rows = a2q.firmware_types(program)
    assert [row["layer"] for row in rows] == [op.name for op in program.accumulator_ops]
    assert all(row["needed"] == row["asked"] <= row["bit_exact"] <= row["auto"] for row in rows)
    assert tables.types_table([rows[0] | {"bit_exact": None}]).row_count == 1
