"""The log of a sandbox, from its node and with the gateway's own rights."""

from cluster.runtime import Runtime
from cluster.site import Site
from demo.targets import Images


def test_a_log_is_read_and_followed(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        path, key = f"/logs/{runtime.id}", runtime.identity[2]
        answer = site.gateway.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.text.strip()
        assert key not in answer.text
        with site.gateway.stream("GET", path, params={"follow": "true", "timestamps": "true"}) as stream:
            assert stream.status_code == 200
            assert next(stream.iter_lines()).startswith("20"), "its time"
