"""The stores keys live in; only the registry names them, and none imports another."""
