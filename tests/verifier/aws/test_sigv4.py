"""Signatures are those that AWS publishes, and those of botocore over many requests."""

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from keyrung_verifier.aws.credentials import Credentials
from keyrung_verifier.aws.sigv4 import sign

SUITE = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SUITE_MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
S3_GUIDE = Credentials(
    access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)
S3_MOMENT = datetime(2013, 5, 24, tzinfo=UTC)

# The "Signature Version 4 Test Suite" of AWS: service `service` in us-east-1, host example.amazonaws.com.
SUITE_CASES = {
    "get-vanilla": ("GET", {}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "post-vanilla": ("POST", {}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "get-header-key-duplicate": (
        "GET",
        {"my-header1": "value2,value2,value1"},
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-multiline": (
        "GET",
        {"my-header1": "value1,value2,value3"},
        "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
    ),
}
# "Signature Calculations for the Authorization Header", Amazon S3 API Reference: the examples without a query.
S3_CASES = {
    "GET Object": (
        "GET",
        "/test.txt",
        {"range": "bytes=0-9"},
        b"",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT Object": (
        "PUT",
        "/test%24file.text",
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        b"Welcome to Amazon S3.",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
}


@pytest.mark.parametrize("name", SUITE_CASES)
def test_the_signature_is_that_of_the_published_test_suite(name: str) -> None:
    method, headers, signature = SUITE_CASES[name]

    signed = sign(
        method=method,
        path="/",
        headers={"host": "example.amazonaws.com", **headers},
        body=b"",
        credentials=SUITE,
        region="us-east-1",
        service="service",
        now=SUITE_MOMENT,
    )

    names = ";".join(sorted({"host", "x-amz-date", *headers}))
    assert signed["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


@pytest.mark.parametrize("name", S3_CASES)
def test_the_signature_is_that_of_the_s3_guide(name: str) -> None:
    method, path, headers, body, signature = S3_CASES[name]

    signed = sign(
        method=method,
        path=path,
        headers={
            "host": "examplebucket.s3.amazonaws.com",
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            **headers,
        },
        body=body,
        credentials=S3_GUIDE,
        region="us-east-1",
        service="s3",
        now=S3_MOMENT,
    )

    assert signed["authorization"].endswith(f"Signature={signature}")


def _botocore(request: dict[str, Any], auth_type: Any) -> str:
    """Return what botocore signs at the same moment; its own clock is in its way."""
    credentials = request["credentials"]
    boto = BotoCredentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    prepared = AWSRequest(
        method=request["method"],
        url=f"https://{request['headers']['host']}{request['path']}",
        headers={name: value for name, value in request["headers"].items() if name != "host"},
        data=request["body"],
    )
    auth = auth_type(boto, request["service"], request["region"])
    prepared.context["timestamp"] = request["now"].strftime("%Y%m%dT%H%M%SZ")
    prepared.headers["X-Amz-Date"] = prepared.context["timestamp"]
    if boto.token:
        prepared.headers["X-Amz-Security-Token"] = boto.token
    to_sign = auth.string_to_sign(prepared, auth.canonical_request(prepared))
    auth._inject_signature_to_request(prepared, auth.signature(to_sign, prepared))
    assert isinstance(prepared.headers, HTTPHeaders)
    return str(prepared.headers["Authorization"])


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40).filter(str.strip)
CREDENTIALS = st.builds(
    Credentials,
    access_key_id=st.text("ABCDEFGHIJ0123456789", min_size=16, max_size=20),
    secret_access_key=TEXT,
    session_token=st.none() | TEXT,
)
MOMENTS = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
HEADERS = st.dictionaries(st.from_regex(r"x-amz-[a-z]{3,10}-[a-z]{1,5}", fullmatch=True), VALUE, max_size=5)


@given(credentials=CREDENTIALS, now=MOMENTS, headers=HEADERS, body=st.binary(max_size=200))
def test_calls_with_json_are_signed_as_botocore_signs_them(
    credentials: Credentials, now: datetime, headers: dict[str, str], body: bytes
) -> None:
    request: dict[str, Any] = {
        "method": "POST",
        "path": "/",
        "headers": {"host": "dynamodb.eu-central-1.amazonaws.com", "content-type": "application/x-amz-json-1.0"}
        | headers,
        "body": body,
        "credentials": credentials,
        "region": "eu-central-1",
        "service": "dynamodb",
        "now": now,
    }

    assert sign(**request)["authorization"] == _botocore(request, SigV4Auth)


@given(
    credentials=CREDENTIALS,
    now=MOMENTS,
    key=st.text(min_size=1, max_size=30).filter(lambda text: text.strip("./") == text and "//" not in text),
    body=st.binary(max_size=200),
)
def test_objects_are_signed_as_botocore_signs_them(
    credentials: Credentials, now: datetime, key: str, body: bytes
) -> None:
    request: dict[str, Any] = {
        "method": "PUT",
        "path": "/bucket/" + quote(key.encode("utf-8", "surrogatepass"), safe="/~"),
        "headers": {
            "host": "s3.eu-central-1.amazonaws.com",
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        },
        "body": body,
        "credentials": credentials,
        "region": "eu-central-1",
        "service": "s3",
        "now": now,
    }

    assert sign(**request)["authorization"] == _botocore(request, S3SigV4Auth)


def test_no_secret_shows_in_the_credentials_repr() -> None:
    shown = repr(Credentials(access_key_id="id", secret_access_key="the-secret", session_token="the-token"))

    assert "the-secret" not in shown
    assert "the-token" not in shown
