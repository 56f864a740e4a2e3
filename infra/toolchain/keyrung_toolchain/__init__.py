"""Set-up of the tools around Keyrung: everything that must be there before the project's own code can run.

Only the standard library is used, because nothing else is installed yet.
"""
