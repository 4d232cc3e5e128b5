"""Records what the sandboxes of each owner use over time, in one SandboxUsage for each owner."""
