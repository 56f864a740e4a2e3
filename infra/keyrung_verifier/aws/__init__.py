"""The few calls of AWS that the verifier makes, over the standard library: an SDK costs half a second of cold start."""
