"""The node, the images and the release of the cluster tier."""

from cluster.conftest import gateway, images, progress, record, sdk, site, target

__all__ = ["gateway", "images", "progress", "record", "sdk", "site", "target"]
