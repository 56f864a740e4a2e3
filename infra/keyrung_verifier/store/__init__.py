"""Where the verifier remembers: one small Protocol, one file per engine."""
