"""The node, the images and the release of the cluster tier."""

from cluster.conftest import gateway, host_mode, images, lanes, persistent, progress, record, sdk, site, target

__all__ = ["gateway", "host_mode", "images", "lanes", "persistent", "progress", "record", "sdk", "site", "target"]
