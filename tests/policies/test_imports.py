"""What the verifier loads: judging requests must not bring in the YAML reader."""

import subprocess
import sys

import pytest

RUN_TIME_MODULES = ["evaluate", "explain", "satisfaction", "invariants", "bundle", "model", "policy_set", "canonical"]


@pytest.mark.parametrize("module", RUN_TIME_MODULES)
def test_run_time_module_loads_no_yaml(module: str) -> None:
    code = f"import sys, keyrung_policies.{module}; print(sorted({{m.partition('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(result.stdout.strip("[]\n").replace("'", "").split(", "))
    assert "keyrung_policies" in loaded
    assert not loaded & {"yaml", "_yaml", "jinja2", "z3", "pulumi", "pydantic", "joserfc"}
