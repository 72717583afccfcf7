"""Many co-simulations at a time; a share of benchmarks/firmware/random_firmware.py goes through the pool."""

import importlib.util

import pytest

import a2q_keras as a2q
from a2q_keras.cosim.many import Job, cosim_all
from a2q_keras.errors import ConfigurationError, ToolMissingError
from a2q_keras.hls.settings import HlsConfig
from benchmarks.firmware.networks import Net
from benchmarks.firmware.random_firmware import ADDERS, chosen, described, drawn, markdown, record
from tests.programs import mlp, needs_gxx

# each another backend, io_type and strategy; together they have every op.  In 2 an op that changes nothing shares a
# layer with its source
SEEDS = (2, 7, 14, 19, 23, 77)


class TestPool:
    pytestmark = needs_gxx

    @pytest.fixture(scope="class")
    @classmethod
    def outcomes(cls):
        jobs = {str(seed): Job(*drawn(seed), n_random=300) for seed in SEEDS}
        jobs["too wide"] = Job(mlp().with_acc_bits({"logits": 54}), HlsConfig())
        told: dict = {}
        outcomes = cosim_all(jobs, 2, told.__setitem__)
        assert told == outcomes and list(outcomes) == list(jobs)
        return outcomes

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_random_network_is_equal_to_the_golden_run(self, outcomes, seed):
        assert outcomes[str(seed)].ok, str(outcomes[str(seed)])

    def test_a_job_that_fails_gives_its_error_and_stops_no_other(self, outcomes):
        assert isinstance(outcomes["too wide"], ConfigurationError)
        assert "'logits' has 54 bits" in str(outcomes["too wide"])

    def test_the_results_page_counts_what_was_compared(self, outcomes):
        seed = SEEDS[0]
        made = record(seed, Job(*drawn(seed)), outcomes[str(seed)])
        page = markdown({"command": "python x.py", "compared": [made], "refused": []})
        assert made["differing"] == 0 and "1 networks" in page and "**0 differ**" in page


def test_seeds_that_are_refused_are_counted_with_the_reason():
    jobs, refused = chosen(2)
    assert list(jobs) == [1, 2] and [entry["seed"] for entry in refused] == [0]
    assert "Quartus in io_stream has no exact MaxPool with padding of signed values" in refused[0]["refused"]


def test_a_seed_says_the_same_network_and_way_every_time():
    assert described(5, *drawn(5)) == described(5, *drawn(5)) != described(6, *drawn(6))


@pytest.mark.parametrize("processes", [0, -1])
def test_no_process_is_refused(processes):
    with pytest.raises(ConfigurationError, match="give at least 1"):
        cosim_all({"one": Job(mlp(), HlsConfig())}, processes)


def test_no_job_is_no_outcome():
    assert cosim_all({}) == {}


class TestCosimMany:
    pytestmark = needs_gxx

    def test_ways_are_compared_under_their_names(self, monkeypatch):
        net = Net("one layer")
        net.dense(net.input((4,)), 2)
        ways = {"small": {"strategy": "Resource", "reuse_factor": 4}, "no adders": {"strategy": ADDERS}}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        outcomes = a2q.cosim_many(net.program(), ways, n_random=50, processes=1)
        assert outcomes["small"].ok and isinstance(outcomes["no adders"], ToolMissingError)

    def test_a_setting_that_is_not_supported_is_refused_before_anything_is_built(self):
        with pytest.raises(ConfigurationError, match="strategy of Quartus is 'magic'"):
            a2q.cosim_many(mlp(), {"fast": {}, "other": {"backend": "Quartus", "strategy": "magic"}})
