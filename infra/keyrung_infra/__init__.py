"""The toolkit around the keys: Pulumi provider and resources, local stack, server shell, command line."""
