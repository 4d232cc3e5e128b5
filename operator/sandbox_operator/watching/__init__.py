"""What the operator hears of the cluster: watches, caches, the objects they hold, and the queue of what to look at."""
