"""What every back end must do, as checks that need nothing but a vault: for our tests, and for a user's own HSM.

`run.run` puts a vault through all of them, under scratch names that it removes again.
"""
