"""Escrow: a key wrapped inside its store, the wrapping key split M-of-N, each share sealed to one custodian.

The key itself is never plaintext here. What is: the escrow wrapping key (32 random bytes), for as long as it takes to
split it or to restore a key. See "Escrow envelope" in provisioners/README.md.
"""
