"""The controller of Sandboxes: one pass gathers, plans and applies."""
