"""Key URIs: RFC 7512 attribute syntax, one spelling per key, nothing that could mean something else to a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.uri import KeyUri, VaultUri

_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", fullmatch=True)


@given(scheme=st.sampled_from(["pkcs11", "transit", "software"]), vault=_NAMES, name=_NAMES)
def test_what_is_formatted_parses_back_to_the_same_key(scheme: str, vault: str, name: str) -> None:
    uri = VaultUri(scheme, vault).key(name)
    assert KeyUri.parse(str(uri)) == uri
    assert VaultUri.parse(str(uri.vault_uri)) == uri.vault_uri


@given(vault=_NAMES, name=_NAMES, generation=st.integers(min_value=1, max_value=999_999_999))
def test_each_generation_has_a_uri_that_parses_back(vault: str, name: str, generation: int) -> None:
    version = KeyUri("transit", vault, name).of_generation(generation)
    assert version == KeyUri("transit", vault, name, generation) == KeyUri.parse(str(version))
    named = KeyUri("pkcs11", vault, name).of_generation(generation)
    assert named.name == (name if generation == 1 else f"{name}-g{generation}")
    assert KeyUri.parse(str(named)) == named


def test_attributes_may_come_in_any_order_and_percent_encoded() -> None:
    assert KeyUri.parse("pkcs11:object=k;token=my%20hsm") == KeyUri("pkcs11", "my hsm", "k")
    assert str(KeyUri("pkcs11", "my hsm", "k")) == "pkcs11:token=my%20hsm;object=k"


@given(
    region=st.sampled_from(["eu-central-1", "us-gov-west-1", "cn-northwest-1", "eusc-de-east-1", "ap-southeast-10"]),
    alias=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True),
)
def test_a_kms_key_is_named_by_region_and_alias(region: str, alias: str) -> None:
    uri = KeyUri.parse(f"awskms:alias={alias};region={region}")
    assert uri == VaultUri.parse(f"awskms:region={region}").key(alias)
    assert str(uri) == f"awskms:region={region};alias={alias}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkcs11",
        "pkcs11:",
        "awskms:alias=a",
        "awskms:region=eu-central-1;alias=alias/a",
        "awskms:region=eu-central-1;alias=aws/s3",
        "awskms:region=eu-central-1;alias=a.b",
        "awskms:region=eu-central-1.example.test;alias=a",
        "awskms:region=EU-CENTRAL-1;alias=a",
        "awskms:region=central;alias=a",
        "software:folder=..;name=a",
        "software:folder=a;name=.b",
        "software:folder=a%2fb;name=c",
        "PKCS11:token=a;object=b",
        "pkcs11:token=a",
        "pkcs11:token=a;object=b;object=c",
        "pkcs11:token=a;object=b;id=1",
        "pkcs11:token=a;object=b?pin-value=1234",
        "transit:mount=a/b;name=c",
        "transit:mount=a;name=b;version=0",
        "transit:mount=a;name=b;version=02",
        "transit:mount=a;name=b;version=-1",
        "transit:mount=a;name=b;version=1;version=2",
        "transit:mount=a;version=2",
        "pkcs11:token=a;object=b;version=2",
        "transit:mount=a;name=../sys",
        "transit:mount=a;name=%2e%2e%2fsys",
        "transit:mount=a;name=b%00",
        "transit:mount=a;name=b%0a",
        "transit:mount=a;name=",
        "transit:mount=a;name=" + "x" * 129,
        "pkcs11:token=" + "x" * 33 + ";object=a",
        "transit:mount=\uff41;name=b",
        "transit:mount=a;name=%ff",
    ],
)
def test_anything_else_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        KeyUri.parse(text)
    assert caught.value.fix


def test_a_refused_pin_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidSettingError) as caught:
        KeyUri.parse("pkcs11:token=a;object=b?pin-value=985214")
    assert "985214" not in str(caught.value)
    assert "985214" not in repr(caught.value.fields)
