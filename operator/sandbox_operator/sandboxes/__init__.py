"""The controller of Sandboxes: each pass gathers the state, makes a plan and applies it."""
