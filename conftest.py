"""Rules for every test: where A2Q_REQUIRE_TOOLS is set (CI, which installs the tools), a skipped test is a failure."""

import os

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("A2Q_REQUIRE_TOOLS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and A2Q_REQUIRE_TOOLS is set: {report.longrepr}"
