"""The console: pages for people, at `/console`. Rendered here, so that they work without a script."""
