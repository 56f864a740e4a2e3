"""The command line: one lazily loaded file per command group."""
