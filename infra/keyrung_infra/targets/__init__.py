"""The programs that `pulumi up` can run, one for each target."""
