"""Lives of sandboxes under drawn faults: the operator's true code, an API server in memory, and virtual time."""
