"""The commands about sandboxes and pools: what is there, why it is so, and its changes."""
