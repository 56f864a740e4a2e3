"""The Python language host for a Pulumi CLI that was built from Go modules."""
