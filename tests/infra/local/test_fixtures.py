import pkcs11
import pytest
from support.openbao import OpenBaoServer
from support.project import Project
from support.softhsm import SoftHsmToken


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_sees_its_own_token_only(softhsm_token: SoftHsmToken, turn: int) -> None:
    library = pkcs11.lib(str(softhsm_token.module))
    library.reinitialize()
    labels = [token.label for token in library.get_tokens() if token.label]
    assert labels == [softhsm_token.label], turn
    with library.get_token(token_label=softhsm_token.label).open(user_pin=softhsm_token.pin) as session:
        assert len(session.generate_random(128)) == 16


def test_server_has_the_mount_that_the_roles_may_use(openbao: OpenBaoServer) -> None:
    assert openbao.client("deployer").call("GET", "sys/mounts/keyrung")["data"]["type"] == "transit"


def test_project_runs_the_real_pulumi(pulumi_project: Project) -> None:
    assert [stack["name"] for stack in pulumi_project.pulumi_json("stack", "ls", "--json")] == ["local"]
