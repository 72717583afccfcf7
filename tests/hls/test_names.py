import pytest

from a2q_keras.hls.names import identifiers, is_identifier


@pytest.mark.parametrize("name", ["dense", "fc1", "block_2_out", "q", "m_1"])
def test_good_names_stay(name):
    assert identifiers([name]) == {name: name}


@pytest.mark.parametrize(
    "name",
    [
        "input",
        "float",
        "1x1",
        "",
        "größe",
        "a b",
        "w2",
        "B3",
        "layer3_out",
        "config1",
        "fc_weight_t",
        "x_ap",
        "_",
        "and_eq",
        "static_cast",
        "M_PI",
    ],
)
def test_other_names_become_legal(name):
    assert is_identifier(identifiers([name])[name])
    assert identifiers([name])[name] != name


def test_names_are_distinct_where_case_is_ignored():
    names = ["a/b", "a_b", "A.B", "a_b_2", "a b"]
    assert len({identifier.lower() for identifier in identifiers(names).values()}) == len(names)
