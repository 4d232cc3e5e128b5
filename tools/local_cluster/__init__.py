"""A real single-node Kubernetes on Linux, without Docker: built from Go modules, run in a network namespace."""
