"""How the operator observes the cluster: watches, caches, decoded objects, and the work queue."""
