"""The data plane: HTTP and WebSockets between clients and agent servers."""
