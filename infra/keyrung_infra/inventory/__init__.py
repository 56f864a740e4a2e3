"""Storage of the key inventory."""
