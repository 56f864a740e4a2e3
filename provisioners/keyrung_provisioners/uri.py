"""Names of vaults and keys: URIs in the attribute syntax of RFC 7512, section 2.3.

``pkcs11:token=T;object=L``, ``transit:mount=M;name=N``, ``awskms:region=R;alias=A`` and ``software:folder=F;name=N``
name a key; without the last attribute they name the vault that holds it. Where a store keeps the generations of a key
as versions under one name, ``version=2`` and up names a later one. Secrets never stand in a URI, so query attributes
(``?pin-value=``) are refused.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote

from keyrung_provisioners.errors import InvalidSettingError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

_NAME_ADVICE = "use letters, digits, dot, hyphen and underscore, and start with a letter or digit"


@dataclass(frozen=True, slots=True)
class Scheme:
    """The grammar of one back end's URIs.

    Attributes:
        vault: The attribute that names a vault.
        key: The attribute that names a key in it.
        versioned: Whether later generations of a key are versions under its name; else each has a name of its own.
    """

    vault: str
    key: str
    vault_pattern: re.Pattern[str]
    key_pattern: re.Pattern[str]
    versioned: bool = False
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
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_SCHEMES = {
    "pkcs11": Scheme("token", "object", _TOKEN_LABEL, _NAME),
    "transit": Scheme("mount", "name", _NAME, _NAME, versioned=True),
    "software": Scheme("folder", "name", _NAME, _NAME),
    "awskms": Scheme(
        "region",
        "alias",
        _REGION,
        _ALIAS,
        vault_advice="write it as AWS does, such as eu-central-1",
        key_advice="use letters, digits, hyphen and underscore, start with a letter or digit, and leave out alias/",
    ),
}
ENTRY_POINTS = "keyrung.uri_schemes"  # where a back end that is not ours names its `Scheme`


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
        rule = _scheme(scheme)
        if set(attributes) != {rule.vault}:
            raise InvalidSettingError(f"{text!r} names no vault", fix=f"write {scheme}:{rule.vault}=NAME", uri=text)
        return cls(scheme, attributes[rule.vault])

    def key(self, name: str) -> "KeyUri":
        """Return the URI of the key called ``name`` in this vault."""
        return KeyUri(self.scheme, self.vault, name)

    def __str__(self) -> str:
        return f"{self.scheme}:{_scheme(self.scheme).vault}={_quote(self.vault)}"


@dataclass(frozen=True, slots=True)
class KeyUri:
    """The one name of a key; `vault` is the token, mount, region or folder, `name` the key's name in it.

    `version` is for stores that keep generations under one name; the first is never written.
    """

    scheme: str
    vault: str
    name: str
    version: int = 1

    def __post_init__(self) -> None:
        _check(self.scheme, "vault", self.vault)
        _check(self.scheme, "key", self.name)
        if self.version != 1 and (self.version < 1 or not _scheme(self.scheme).versioned):
            raise InvalidSettingError(
                f"{self.scheme}: keys have no version {self.version}",
                fix="leave the version out",
                version=str(self.version),
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that ``text`` names; raise `InvalidSettingError` if it names none."""
        scheme, attributes = _split(text)
        rule = _scheme(scheme)
        version = attributes.pop("version", "1") if rule.versioned else "1"
        if set(attributes) != {rule.vault, rule.key} or not _VERSION.fullmatch(version):
            raise InvalidSettingError(
                f"{text!r} names no key", fix=f"write {scheme}:{rule.vault}=NAME;{rule.key}=NAME", uri=text
            )
        return cls(scheme, attributes[rule.vault], attributes[rule.key], int(version))

    @property
    def vault_uri(self) -> VaultUri:
        """The vault that holds this key."""
        return VaultUri(self.scheme, self.vault)

    def of_generation(self, generation: int) -> Self:
        """Return the URI of a later generation of the key whose first one this is: its version, or a name like it."""
        if generation == 1:
            return self
        if _scheme(self.scheme).versioned:
            return replace(self, version=generation)
        return replace(self, name=f"{self.name}-g{generation}")

    def __str__(self) -> str:
        rule = _scheme(self.scheme)
        version = "" if self.version == 1 else f";version={self.version}"
        return f"{self.scheme}:{rule.vault}={_quote(self.vault)};{rule.key}={_quote(self.name)}{version}"


def known_schemes() -> frozenset[str]:
    """Return the schemes of all back ends, ours and others'."""
    return frozenset({*_SCHEMES, *_others().names})


@cache
def _scheme(name: str) -> Scheme:
    """Return the grammar of ``name``: ours first, so that nobody else's can take its place."""
    if name in _SCHEMES:
        return _SCHEMES[name]
    for found in _others().select(name=name):
        scheme = found.load()
        if isinstance(scheme, Scheme):
            return scheme
    known = ", ".join(sorted(known_schemes()))
    raise InvalidSettingError(f"{name!r} is no known scheme", fix=f"use one of {known}", scheme=name)


def _others() -> "EntryPoints":
    from importlib.metadata import entry_points  # noqa: PLC0415 - it costs more than all else here, for a rare case

    return entry_points(group=ENTRY_POINTS)


def _split(text: str) -> tuple[str, dict[str, str]]:
    scheme, separator, rest = text.partition(":")
    if not separator:
        raise InvalidSettingError(f"{text!r} has no scheme", fix="write it as SCHEME:NAME=VALUE;NAME=VALUE", uri=text)
    _scheme(scheme)
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
    rule = _scheme(scheme)
    pattern, attribute, advice = (
        (rule.vault_pattern, rule.vault, rule.vault_advice)
        if part == "vault"
        else (rule.key_pattern, rule.key, rule.key_advice)
    )
    if not pattern.fullmatch(value):
        raise InvalidSettingError(f"{value!r} is no valid {scheme} {attribute}", fix=advice)


def _quote(value: str) -> str:
    return quote(value, safe="")
