"""How Hypothesis draws: the same examples in every run, on slow machines too; others in `make test-full`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_UNTIMED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.register_profile("same", _UNTIMED, derandomize=True)
settings.register_profile("fresh", _UNTIMED, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
