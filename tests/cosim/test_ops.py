"""Every op, side by side in one firmware, compared with the golden run: one compilation for each way to build it."""

from collections.abc import Mapping

import numpy as np
import pytest

from a2q_keras.cosim import csim, vectors
from a2q_keras.cosim.compare import mismatches
from a2q_keras.cosim.run import golden
from a2q_keras.hls.settings import HlsConfig
from benchmarks.firmware import ops
from tests.programs import needs_gxx

NOT_IN_STREAMS = {"max pool same, signed", "max pool overlapping"}
CONFIGS = {
    "parallel, Latency": HlsConfig(),
    "stream, Resource": HlsConfig(backend="Vivado", io_type="io_stream", strategy="Resource", reuse_factor=3),
}


def every_op(config: HlsConfig):
    """All programs of `benchmarks.firmware.ops` that a config can build, in one."""
    return ops.side_by_side([ops.program(n) for n in ops.OPS if config.parallel or n not in NOT_IN_STREAMS])


class TestEveryOp:
    pytestmark = needs_gxx

    @pytest.mark.filterwarnings("ignore:layer '")
    @pytest.mark.parametrize("name", CONFIGS)
    def test_every_layer_and_output_is_the_golden_run(self, name):
        config: HlsConfig = CONFIGS[name]
        program = every_op(config)
        groups = (
            vectors.off_grid_values(program, 60),
            *(
                [node.format.values(codes) for node, codes in zip(program.inputs, inputs)]
                for inputs in (vectors.random_inputs(program, 60), vectors.first_layer_inputs(program))
            ),
        )
        values = [np.concatenate(parts) for parts in zip(*groups)]
        wanted: Mapping = golden(program, values, config)
        assert len(wanted) > 80
        assert mismatches(wanted, wanted, csim.run(program, values, config), program.formats) == ()
