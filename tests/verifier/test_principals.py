"""A caller that IAM vouches for: which spelling of which identity is which client."""

import base64

import pytest
from support.lambda_events import ACCOUNT, ROLE_ARN, SESSION_ARN
from support.verifier import CLIENT

from keyrung_verifier.callers import CallerRegistry, Client
from keyrung_verifier.errors import CallerRefusedError, ConfigurationError

USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/people/deploy"
BY_ROLE = Client(client_id="by-role", audience="https://role.example", principal_arn=ROLE_ARN)
BY_USER = Client(client_id="by-user", audience="https://user.example", principal_arn=USER_ARN)
REGISTRY = CallerRegistry([CLIENT, BY_ROLE, BY_USER])


def test_a_session_of_the_configured_role_is_its_client() -> None:
    assert REGISTRY.authenticate(None, SESSION_ARN).client_id == "by-role"
    assert REGISTRY.authenticate(None, SESSION_ARN).audience == "https://role.example"


def test_the_configured_user_is_its_client() -> None:
    assert REGISTRY.authenticate(None, USER_ARN).client_id == "by-user"


def test_the_signature_in_the_header_is_the_platforms_business() -> None:
    assert REGISTRY.authenticate("AWS4-HMAC-SHA256 Credential=x", SESSION_ARN).client_id == "by-role"


@pytest.mark.parametrize(
    "arn",
    [
        "",
        ROLE_ARN.replace(ACCOUNT, "210987654321"),
        SESSION_ARN.replace(ACCOUNT, "210987654321"),
        SESSION_ARN.replace("arn:aws:", "arn:aws-cn:"),
        SESSION_ARN.replace("sample-api", "Sample-api"),
        SESSION_ARN.replace("sample-api", "sample-api2"),
        SESSION_ARN.replace("/sample-api/", "/service/sample-api/"),
        SESSION_ARN.replace("assumed-role", "federated-user"),
        SESSION_ARN.replace("assumed-role", "role"),
        SESSION_ARN.replace(":sts:", ":iam:"),
        f"arn:aws:sts::{ACCOUNT}:assumed-role/other/sample-api",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/sample-api",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/sample-api/",
        f"{SESSION_ARN}/more",
        f"{SESSION_ARN}\n",
        f" {SESSION_ARN}",
        f"arn:aws:iam::{ACCOUNT}:root",
        f"arn:aws:iam::{ACCOUNT}:user/deploy",
        f"arn:aws:iam::{ACCOUNT}:user/sample-api",
        f"arn:aws:sts::{ACCOUNT}:federated-user/people/deploy",
        ACCOUNT,
        "anonymous",
        "*",
    ],
)
def test_any_other_identity_is_nobody(arn: str) -> None:
    with pytest.raises(CallerRefusedError) as caught:
        REGISTRY.authenticate(None, arn)
    assert caught.value.reason == "unknown_principal"


def test_a_vouched_identity_does_not_fall_back_to_a_secret() -> None:
    with pytest.raises(CallerRefusedError):
        REGISTRY.authenticate("Basic c2FtcGxlLWFwaTpzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzcw==", "arn:x")


@pytest.mark.parametrize("secret", ["", "None", "s" * 40])
def test_a_client_with_a_principal_has_no_secret_that_works(secret: str) -> None:
    text = f"Basic {base64.b64encode(f'by-role:{secret}'.encode()).decode()}"
    with pytest.raises(CallerRefusedError):
        REGISTRY.authenticate(text, None)


@pytest.mark.parametrize(
    "arn",
    [
        "*",
        "arn:aws:iam::*:role/x",
        f"arn:aws:iam::{ACCOUNT}:role/*",
        f"arn:aws:iam::{ACCOUNT}:user/*",
        f"arn:aws:iam::{ACCOUNT}:user/a?c",
        f"arn:aws:iam::{ACCOUNT}:root",
        ACCOUNT,
        SESSION_ARN,
        f"arn:aws:iam::{ACCOUNT}:role/",
        f"arn:aws:iam::{ACCOUNT}:role/x ",
        "arn:aws:iam::1234:role/x",
    ],
)
def test_a_configured_principal_is_one_role_or_user(arn: str) -> None:
    with pytest.raises(ConfigurationError, match="principal"):
        CallerRegistry([Client(client_id="x", audience="https://x.example", principal_arn=arn)])


def test_two_clients_cannot_share_a_role_by_two_spellings() -> None:
    other = Client(client_id="y", audience="https://y.example", principal_arn=ROLE_ARN.replace("/service/", "/"))
    with pytest.raises(ConfigurationError, match="share"):
        CallerRegistry([BY_ROLE, other])


def test_a_client_has_a_secret_or_a_principal() -> None:
    with pytest.raises(ConfigurationError, match="one of the two"):
        CallerRegistry([Client(client_id="x", audience="https://x.example", secret="s" * 40, principal_arn=ROLE_ARN)])
    with pytest.raises(ConfigurationError, match="secret"):
        CallerRegistry([Client(client_id="x", audience="https://x.example")])
