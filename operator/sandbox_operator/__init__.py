"""The operator: gives each Sandbox a pod with its keys, workspace and name.

A change adds the Sandbox's name to a work queue. A worker reads the present state from caches, decides with the pure
function `plan`, and sends the requests of the plan.
"""
