"""Fixtures for several parts."""

import pytest


@pytest.fixture
def stand_in(tmp_path):
    """(script) -> the path of a shell script that stands in for a tool: it does what the test says, no more."""

    def make(script: str) -> str:
        path = tmp_path / "stand_in_for_a_tool"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make
