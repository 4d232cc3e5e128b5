"""The log and the history of a sandbox, from its node and its pod, with the gateway's own rights."""

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
        lived = site.gateway.get(f"/history/{runtime.id}").json()
        assert lived["incomplete"] == ""
        steps = {step["step"]: step["source"] for step in lived["steps"]}
        assert (steps["asked"], steps["scheduled"], steps["booting"]) == ("sandbox", "pod", "pod")
        assert lived["steps"][-1]["step"] == "ready"
        with site.gateway.stream("GET", path, params={"follow": "true", "timestamps": "true"}) as stream:
            assert stream.status_code == 200
            assert next(stream.iter_lines()).startswith("20"), "its time"
