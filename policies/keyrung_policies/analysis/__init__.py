"""What a policy means for every possible request: compared with another version, held against invariants, linted.

Nothing here runs in the verifier. Only `solver` imports z3, which the extra `analysis` installs.
"""
