"""The operator: makes each Sandbox so, by a pod with its keys, its workspace and its name.

A change marks the Sandbox's name in a work queue; a worker gathers what is known of it from caches, decides by the pure
`plan`, and sends what the plan says.
"""
