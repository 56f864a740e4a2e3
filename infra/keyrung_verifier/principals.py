"""Which identity the platform has vouched for: an IAM user or role, by one spelling of its ARN.

A call signed by a role arrives under the ARN of a session (`sts`, `assumed-role/NAME/SESSION`), which has lost the
role's path; a role's name is unique in its account, so both become `iam`, `role/NAME` without a path.
"""

import re

from keyrung_verifier.errors import ConfigurationError

# IAM's own limits on names, paths and session names (IAM API Reference, CreateRole and CreateUser; STS, AssumeRole).
_PARTITION_AND_ACCOUNT = r"arn:(?P<partition>aws(?:-[a-z]{2,12}){0,2}):%s::(?P<account>\d{12}):"
_NAME = r"(?P<name>[\w+=,.@-]{1,64})"
_PATH = r"(?P<path>(?:[\x21-\x2e\x30-\x7e]{1,510}/){0,32})"
_ROLE = re.compile(_PARTITION_AND_ACCOUNT % "iam" + rf"role/{_PATH}{_NAME}", re.ASCII)
_USER = re.compile(_PARTITION_AND_ACCOUNT % "iam" + rf"user/{_PATH}{_NAME}", re.ASCII)
_SESSION = re.compile(_PARTITION_AND_ACCOUNT % "sts" + rf"assumed-role/{_NAME}/[\w+=,.@-]{{2,64}}", re.ASCII)


def configured_principal(arn: str) -> str:
    """Return the spelling under which a role or user named in the configuration is looked up.

    Raises:
        ConfigurationError: It is neither; a whole account, a pattern and a session are not one application.
    """
    role = _ROLE.fullmatch(arn)
    if role is not None:
        return _role_arn(role)
    if _USER.fullmatch(arn) is None or "*" in arn or "?" in arn:
        raise ConfigurationError(
            f"the principal {arn} is no ARN of one IAM role or user; write it as arn:aws:iam::ACCOUNT:role/NAME"
        )
    return arn


def calling_principal(arn: str) -> str:
    """Return the spelling of a caller's ARN as the platform gives it; only that of a role's session changes."""
    session = _SESSION.fullmatch(arn)
    return arn if session is None else _role_arn(session)


def _role_arn(found: re.Match[str]) -> str:
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['name']}"
