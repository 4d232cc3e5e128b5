"""Warm pods: made in advance for a SandboxPool, and claimed by sandboxes that fit."""
