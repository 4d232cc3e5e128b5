"""Hours that stand for weeks: sandboxes come and go under all kinds of trouble, and nothing may be left."""
