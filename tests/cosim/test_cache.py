import pytest

from a2q_keras.cosim import csim, vectors
from a2q_keras.cosim.run import golden
from a2q_keras.tools import GXX
from tests.programs import needs_gxx
from tests.strategies import mlp


class TestCache:
    pytestmark = needs_gxx

    def test_the_same_sources_are_compiled_once_and_others_are_not_mistaken_for_them(self, tmp_path, monkeypatch):
        monkeypatch.setenv(csim.CACHE, str(tmp_path / "kept"))
        calls, run = [], type(GXX).run
        monkeypatch.setattr(type(GXX), "run", lambda tool, args, **more: calls.append(args) or run(tool, args, **more))
        program = mlp()
        other = program.with_acc_bits({"fc1": 15})
        values = [node.format.values(codes) for node, codes in zip(program.inputs, vectors.random_inputs(program, 9))]
        for which in (program, program, other, program):
            wanted = golden(which, values)
            got = csim.run(which, values)
            assert all((got[name] == wanted[name]).all() for name in wanted)
        compiled = [args for args in calls if "-shared" in args]
        assert len(compiled) == 2 and len(list((tmp_path / "kept").iterdir())) == 2

    def test_a_failed_compilation_leaves_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setenv(csim.CACHE, str(tmp_path / "kept"))
        monkeypatch.setattr(csim, "GXX_OPTIONS", (*csim.GXX_OPTIONS, "-no-such-option"))
        with pytest.raises(csim.ToolFailedError, match="no-such-option"):
            csim.run(mlp(), [mlp().inputs[0].format.values(vectors.random_inputs(mlp(), 3)[0])])
        assert not list((tmp_path / "kept").iterdir())
