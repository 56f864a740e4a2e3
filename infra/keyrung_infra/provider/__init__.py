"""The Pulumi provider `keyrung`: vaults, keys, signed policies and the verifier's configuration as resources."""
