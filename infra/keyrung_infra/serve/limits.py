"""What bounds the server itself, with where each number comes from; the core's are in `keyrung_verifier.limits`."""

# Connections at once, so that no client can use up the process's descriptors: half of the 1024 that a Linux process
# gets without asking.
MAX_CONNECTIONS = 512
# From the first byte of a request, or the connection, to the request's end; a request of ours is one packet or a few.
REQUEST_SECONDS = 10
# For the TLS handshake, which is over after two packets from each side.
HANDSHAKE_SECONDS = 5
# How long a connection may be idle between two requests.
KEEP_ALIVE_SECONDS = 15
# Request line and headers together; other servers take 8 to 64 KiB.
MAX_HEAD_BYTES = 16 * 1024
# How long requests under way may take when the server stops.
SHUTDOWN_SECONDS = 5
