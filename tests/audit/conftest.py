import pytest
from support.audit_log import AuditKey, Log, good_log


@pytest.fixture(scope="session", params=["ES256", "Ed25519"])
def audit_key(request: pytest.FixtureRequest) -> AuditKey:
    return AuditKey(request.param)


@pytest.fixture
def log(audit_key: AuditKey) -> Log:
    return good_log(audit_key)
