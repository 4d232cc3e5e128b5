"""The Runtime API: routes, and the answers to them."""
