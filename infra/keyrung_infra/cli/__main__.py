"""`python -m keyrung_infra.cli`: the `keyrung` command without its script."""

from keyrung_infra.cli.main import main

main()
