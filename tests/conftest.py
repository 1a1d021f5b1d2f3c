"""Shared test set-up: tools that a bare machine may lack are named here, never silently passed over."""

import os
import shutil
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, nothing of the code: no test fails by Hypothesis's own clock.
settings.register_profile("callqa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callqa")


def need_tool(name: str) -> str:
    """Path of a program the test drives (sipp, baresip, chromium). Skip where it is absent; with
    CALLQA_TESTS_REQUIRE_ALL=1 (the CI) its absence fails the test."""
    path = shutil.which(name)
    if path is None:
        lack(f"{name}, which is not installed")
    return path


def lack(what: str) -> NoReturn:
    """Something that a test needs is not to be had: skip it; with CALLQA_TESTS_REQUIRE_ALL=1 (the CI) it fails."""
    if os.environ.get("CALLQA_TESTS_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {what}")
    pytest.skip(f"needs {what}")
