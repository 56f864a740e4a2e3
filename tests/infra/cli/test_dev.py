"""`keyrung dev` as a user or a script sees it."""

import json
import os
import signal

from support.project import Project


def test_up_says_what_runs(local_stack: Project) -> None:
    done = local_stack.keyrung("dev", "up")
    assert done.stderr == ""
    openbao, softhsm = done.stdout.splitlines()
    assert openbao.startswith("OpenBao  running  2.")
    assert "https://127.0.0.1:" in openbao
    assert softhsm.startswith("SoftHSM  ready  ")


def test_status_follows_the_server(local_stack: Project) -> None:
    up = json.loads(local_stack.keyrung("dev", "status", "--json").stdout)
    assert (up["up"], up["openbao"]["state"], up["softhsm"]["state"], up["missing"]) == (True, "running", "ready", [])
    os.kill(up["openbao"]["pid"], signal.SIGKILL)
    crashed = local_stack.keyrung("dev", "status", check=False)
    assert crashed.returncode == 1
    assert crashed.stdout.startswith("OpenBao  stopped")
    assert crashed.stdout.endswith("The local stack is not up: run keyrung dev up.\n")
    repaired = json.loads(local_stack.keyrung("dev", "up", "--json").stdout)
    assert repaired["up"]
    assert repaired["openbao"]["address"] == up["openbao"]["address"]


def test_lost_token_is_named(local_stack: Project) -> None:
    local_stack.stack.layout.openbao.token("auditor").unlink()
    done = local_stack.keyrung("dev", "status", check=False)
    assert done.returncode == 1
    assert "No valid token for: auditor." in done.stdout


def test_down_is_repeatable(local_stack: Project) -> None:
    assert local_stack.keyrung("dev", "down").stdout == "OpenBao is stopped; its data is kept.\n"
    assert json.loads(local_stack.keyrung("dev", "down", "--json").stdout) == {"stopped": False}


def test_env_is_the_same_for_shells_and_programs(local_stack: Project) -> None:
    variables = json.loads(local_stack.keyrung("dev", "env", "--json").stdout)
    shell = local_stack.run("/bin/sh", "-c", 'eval "$(keyrung dev env)" && env -0')
    seen = dict(entry.split("=", 1) for entry in shell.stdout.split("\0") if entry)
    path = variables.pop("PATH").split(":")
    assert {name: seen[name] for name in variables} == variables
    assert seen["PATH"].split(":")[: len(local_stack.stack.path_folders())] == local_stack.stack.path_folders()
    assert path[: len(local_stack.stack.path_folders())] == local_stack.stack.path_folders()


def test_no_secret_is_printed(local_stack: Project) -> None:
    layout = local_stack.stack.layout
    secrets = [path.read_text().strip() for path in (layout.softhsm.pin, layout.softhsm.so_pin)]
    secrets += [layout.openbao.token(role).read_text().strip() for role in ("deployer", "verifier", "auditor")]
    secrets += [layout.sample_client_secret.read_text().strip()]
    secrets += json.loads(layout.openbao.unseal.read_bytes())["keys_base64"]
    for command in (["up"], ["up", "--json"], ["status", "--json"], ["env"], ["env", "--json"]):
        done = local_stack.keyrung("dev", *command)
        assert [secret for secret in secrets if secret in done.stdout + done.stderr] == []


def test_error_is_one_sentence_and_an_object(local_stack: Project) -> None:
    local_stack.stack.layout.softhsm.pin.unlink()
    plain = local_stack.keyrung("dev", "up", check=False)
    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr.startswith("keyrung: the SoftHSM token is there but its PIN file ")
    assert plain.stderr.count("\n") == 1
    as_object = local_stack.keyrung("dev", "up", "--json", check=False)
    assert (as_object.returncode, as_object.stderr) == (1, "")
    assert json.loads(as_object.stdout)["error"]["fix"].startswith("restore the file")
