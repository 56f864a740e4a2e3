"""The embedded local stack: OpenBao over TLS and a SoftHSM token under `.keyrung/`, for development.

Its unseal key, PINs and tokens lie beside the data they protect, readable by their owner only.
"""
