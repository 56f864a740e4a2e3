"""Addresses reduced to finitely many: one for each stretch between the borders of the networks a policy names."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

# Addresses for documentation (RFC 5737 section 3, RFC 3849 section 2): where any will do, a report shows these.
_PLAIN = ("192.0.2.1", "2001:db8::1")
_V4_BITS, _V6_BITS = 32, 128
# Read as the IPv4 addresses they stand for (RFC 4291 section 2.5.5.2), so no address is ever judged as one of these.
_MAPPED = IPv6Network("::ffff:0:0/96")


def address_classes(networks: frozenset[str]) -> tuple[str, ...]:
    """Return addresses such that every address lies in the same of ``networks`` as one of them."""
    parsed = [ip_network(text) for text in sorted(networks)]
    v4 = [network for network in parsed if isinstance(network, IPv4Network)]
    v6 = [network for network in parsed if isinstance(network, IPv6Network)]
    found = [str(IPv4Address(number)) for number in _borders(v4, _V4_BITS)]
    found += [
        str(address) for number in _borders([*v6, _MAPPED], _V6_BITS) if (address := IPv6Address(number)) not in _MAPPED
    ]
    return (*_PLAIN, *found)


def _borders(networks: list[IPv4Network] | list[IPv6Network], bits: int) -> Iterator[int]:
    starts = {int(network.network_address) for network in networks}
    ends = {int(network.broadcast_address) + 1 for network in networks}
    yield from sorted({0, *starts, *ends} - {1 << bits})
