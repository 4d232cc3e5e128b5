"""A node image for kind that needs no image registry: Debian, and binaries that are built from Go modules."""
