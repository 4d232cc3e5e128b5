"""A real single-node Kubernetes on a Linux machine, without Docker: built from Go modules, run in a network namespace."""
