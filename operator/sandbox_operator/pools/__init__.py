"""Warm pods: made ahead of time for a SandboxPool, claimed by the sandboxes that fit."""
