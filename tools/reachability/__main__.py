"""`python -m reachability` writes docs/network.md anew."""

from reachability.page import page
from reachability.rendering import PAGE, policies, rendered

manifests = rendered()
PAGE.write_text(page(manifests, policies(manifests)))
