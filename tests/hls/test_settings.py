import re

import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.settings import HlsConfig, Product, Setting, setting

DENSE = Product(6, 4)
CONV = Product(6, 4, places=True)
POINTWISE = Product(6, 4, places=True, pointwise=True)
DEPTHWISE = Product(9, 4, places=True, depthwise=True)


def asked(strategy, factor=1, io_type="io_stream"):
    return HlsConfig(strategy=strategy, reuse_factor=factor, io_type=io_type)


@pytest.mark.parametrize(
    "config, product, wanted",
    [
        (asked("Latency", 5), CONV, ("Latency", 5)),
        (asked("Resource", 3), DENSE, ("Resource", 3)),
        (asked("Resource", 12), CONV, ("Resource", 12)),
        (asked("Resource", 7), None, ("Latency", 7)),
        (asked("resource_unrolled", 3), CONV, ("resource_unrolled", 3)),
        (asked("distributed_arithmetic"), CONV, ("distributed_arithmetic", 1)),
    ],
    ids=str,
)
def test_what_is_exact_is_given_without_a_notice(config, product, wanted):
    assert setting(config, "fc", product) == Setting(*wanted)


@pytest.mark.parametrize(
    "config, product, wanted, words",
    [
        (
            asked("Resource", 4),
            DENSE,
            ("Resource", 3),
            "factor 3 in place of 4; with Resource it can have 1, 2, 3, 6, 12, 24",
        ),
        (asked("Resource", 24, "io_parallel"), CONV, ("Resource", 6), "it can have 1, 2, 3, 6$"),
        (asked("Resource", 2), DEPTHWISE, ("Latency", 2), "depthwise convolutions in Latency only"),
        (asked("resource_unrolled", 3, "io_parallel"), CONV, ("Resource", 3), "unrolls convolutions in io_stream only"),
        (asked("resource_unrolled", 3), POINTWISE, ("Resource", 3), "none of one value"),
        (asked("resource_unrolled"), DENSE, ("Resource", 1), "needs a reuse factor between"),
        (asked("resource_unrolled", 24), DENSE, ("resource_unrolled", 12), "it can have 2, 3, 6, 12$"),
        (asked("distributed_arithmetic"), POINTWISE, ("Latency", 1), "drops distributed_arithmetic"),
        (asked("distributed_arithmetic", 2), DENSE, ("distributed_arithmetic", 1), "it can have 1$"),
    ],
    ids=str,
)
def test_what_is_not_exact_is_replaced_with_a_notice(config, product, wanted, words):
    found = setting(config, "fc", product)
    assert found[:2] == wanted
    assert re.search(f"^layer 'fc' gets .*{words}", found.notice)


def test_settings_by_layer():
    config = HlsConfig(strategy={"a": "Resource", "*": "Latency"}, reuse_factor={"a": 2})
    assert [setting(config, name, DENSE)[:2] for name in "ab"] == [("Resource", 2), ("Latency", 1)]
    assert config.named_layers() == {"a"}
    assert config.only({"b"}).named_layers() == set()


def test_settings_without_a_field_are_options():
    config = HlsConfig.of(strategy="Resource", namespace="abc", options={"write_tar": True})
    assert (config.strategy, config.options) == ("Resource", {"namespace": "abc", "write_tar": True})


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"clock_period": "5"}, "clock_period is '5'; give nanoseconds"),
        ({"part": None}, "part is None; give a name"),
        ({"backend": "Versal"}, "backend is 'Versal'; supported are Vitis, Vivado"),
        ({"io_type": "io_serial"}, "io_type is 'io_serial'; supported are io_parallel, io_stream"),
        ({"strategy": {"fc": "Fast"}}, "strategy of Vitis is 'Fast'; supported are Latency, Resource"),
        ({"reuse_factor": 0}, "reuse_factor is 0"),
        ({"reuse_factor": True}, "reuse_factor is True"),
        ({"project_name": "my project"}, "project_name is 'my project'"),
        ({"clock_period": float("nan")}, "clock_period is nan; give nanoseconds above 0"),
        ({"clock_period": 0}, "clock_period is 0"),
        ({"part": 'a"b; $(x)'}, "part is 'a"),
        ({"layer_options": {"fc": {"Precision": "auto"}}}, "layer_options of 'fc' set Precision; types follow"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong, words):
    with pytest.raises(ConfigurationError, match=words):
        HlsConfig(**wrong)


def test_quartus_writes_no_large_convolution_with_a_reuse_factor():
    config, large = HlsConfig("Quartus", strategy="Resource", reuse_factor=4), Product(28, 80, places=True)
    strategy, factor, notice = setting(config, "conv", large)
    assert (strategy, factor) == ("Resource", 1) and "reuse factor 1 in place of 4" in notice
    assert setting(config, "fc", Product(28, 80)).reuse_factor == 4
    assert setting(HlsConfig("Vivado", strategy="Resource", reuse_factor=4), "conv", large).reuse_factor == 4
