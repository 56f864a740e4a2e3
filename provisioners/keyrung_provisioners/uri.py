"""Names of vaults and keys: URIs in the attribute syntax of RFC 7512, section 2.3.

``pkcs11:token=T;object=L``, ``transit:mount=M;name=N``, ``awskms:region=R;alias=A`` and ``software:folder=F;name=N``
name a key; without the last attribute they name the vault that holds it. Secrets never stand in a URI, so query
attributes (``?pin-value=``) are refused.
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from keyrung_provisioners.errors import InvalidSettingError

_NAME_ADVICE = "use letters, digits, dot, hyphen and underscore, and start with a letter or digit"


@dataclass(frozen=True, slots=True)
class _Scheme:
    vault: str
    key: str
    vault_pattern: re.Pattern[str]
    key_pattern: re.Pattern[str]
    vault_advice: str = _NAME_ADVICE
    key_advice: str = _NAME_ADVICE


# A strict pattern before any use: names with special meaning to a store (path separators, control characters) cannot
# get in. PKCS#11 labels of tokens are at most 32 bytes (PKCS#11 3.1, CK_TOKEN_INFO).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TOKEN_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}")
# Regions of every partition of AWS ("eu-central-1", "us-gov-west-1"): the region becomes part of a host name.
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
# CreateAlias allows slash, too, but no dot; aliases that start with "aws/" are Amazon's.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SCHEMES = {
    "pkcs11": _Scheme("token", "object", _TOKEN_LABEL, _NAME),
    "transit": _Scheme("mount", "name", _NAME, _NAME),
    "software": _Scheme("folder", "name", _NAME, _NAME),
    "awskms": _Scheme(
        "region",
        "alias",
        _REGION,
        _ALIAS,
        vault_advice="write it as AWS does, such as eu-central-1",
        key_advice="use letters, digits, hyphen and underscore, start with a letter or digit, and leave out alias/",
    ),
}


@dataclass(frozen=True, slots=True)
class VaultUri:
    """A place that holds keys: a PKCS#11 token, a Transit mount, AWS KMS in one region, or a folder."""

    scheme: str
    vault: str

    def __post_init__(self) -> None:
        _check(self.scheme, "vault", self.vault)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the vault that ``text`` names; raise `InvalidSettingError` if it names none."""
        scheme, attributes = _split(text)
        rule = _SCHEMES[scheme]
        if set(attributes) != {rule.vault}:
            raise InvalidSettingError(f"{text!r} names no vault", fix=f"write {scheme}:{rule.vault}=NAME", uri=text)
        return cls(scheme, attributes[rule.vault])

    def key(self, name: str) -> "KeyUri":
        """Return the URI of the key called ``name`` in this vault."""
        return KeyUri(self.scheme, self.vault, name)

    def __str__(self) -> str:
        return f"{self.scheme}:{_SCHEMES[self.scheme].vault}={_quote(self.vault)}"


@dataclass(frozen=True, slots=True)
class KeyUri:
    """The one name of a key; `vault` is the token, mount, region or folder, `name` the key's name in it."""

    scheme: str
    vault: str
    name: str

    def __post_init__(self) -> None:
        _check(self.scheme, "vault", self.vault)
        _check(self.scheme, "key", self.name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that ``text`` names; raise `InvalidSettingError` if it names none."""
        scheme, attributes = _split(text)
        rule = _SCHEMES[scheme]
        if set(attributes) != {rule.vault, rule.key}:
            raise InvalidSettingError(
                f"{text!r} names no key", fix=f"write {scheme}:{rule.vault}=NAME;{rule.key}=NAME", uri=text
            )
        return cls(scheme, attributes[rule.vault], attributes[rule.key])

    @property
    def vault_uri(self) -> VaultUri:
        """The vault that holds this key."""
        return VaultUri(self.scheme, self.vault)

    def __str__(self) -> str:
        rule = _SCHEMES[self.scheme]
        return f"{self.scheme}:{rule.vault}={_quote(self.vault)};{rule.key}={_quote(self.name)}"


def _split(text: str) -> tuple[str, dict[str, str]]:
    scheme, separator, rest = text.partition(":")
    if not separator or scheme not in _SCHEMES:
        known = ", ".join(f"{name}:" for name in _SCHEMES)
        raise InvalidSettingError(f"{text!r} has no known scheme", fix=f"start it with one of {known}", uri=text)
    if "?" in rest:
        raise InvalidSettingError(
            f"the {scheme}: URI has a query part", fix="remove it; PINs and modules belong to the provider's settings"
        )
    attributes: dict[str, str] = {}
    for part in rest.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in attributes:
            raise InvalidSettingError(
                f"{text!r} is malformed or repeats an attribute", fix="write scheme:name=value;name=value", uri=text
            )
        attributes[name] = unquote(value)  # a malformed sequence becomes U+FFFD, which no pattern allows
    return scheme, attributes


def _check(scheme: str, part: str, value: str) -> None:
    rule = _SCHEMES.get(scheme)
    if rule is None:
        raise InvalidSettingError(f"{scheme!r} is no known scheme", fix=f"use one of {', '.join(_SCHEMES)}")
    pattern, attribute, advice = (
        (rule.vault_pattern, rule.vault, rule.vault_advice)
        if part == "vault"
        else (rule.key_pattern, rule.key, rule.key_advice)
    )
    if not pattern.fullmatch(value):
        raise InvalidSettingError(f"{value!r} is no valid {scheme} {attribute}", fix=advice)


def _quote(value: str) -> str:
    return quote(value, safe="")
