"""`python -m keyrung_infra.provider`: the plugin process."""

from keyrung_infra.provider.server import main

main()
