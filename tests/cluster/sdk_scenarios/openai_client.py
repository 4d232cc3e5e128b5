# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""The agent server's OpenAI-compatible endpoints by OpenAI's own client, which has the session key as its API key."""

from typing import Any

from openai import OpenAI

from cluster.scripts import bash, say, script
from cluster.sdk_scenarios.session import Session

HEADER = "X-OpenHands-ServerConversation-ID"


def endpoints(session: Session) -> dict[str, Any]:
    workspace = session.workspace
    llm = {"model": "openai/scripted", "base_url": session.model, "api_key": "any"}
    profile = {"llm": llm, "include_secrets": True}
    workspace.client.post("/api/profiles/trial", json=profile).raise_for_status()
    client = OpenAI(base_url=f"{workspace.host}/v1", api_key=workspace.api_key, max_retries=0)
    models = [model.id for model in client.models.list().data]

    def messages(*steps: dict[str, Any]) -> list[Any]:
        return [{"role": "user", "content": script(*steps)}]

    file = f"{workspace.working_dir}/by-openai.txt"
    raw = client.chat.completions.with_raw_response.create(
        model="openhands_trial", messages=messages(bash(f"echo done > {file}"), say("It is written."))
    )
    goes_on = {HEADER: raw.headers[HEADER]}
    parts = client.chat.completions.create(
        model="openhands_trial", messages=messages(say("And streamed.")), extra_headers=goes_on, stream=True
    )
    streamed = [part.choices[0].delta.content or "" for part in parts if part.choices]
    return {
        "models": models,
        "said": raw.parse().choices[0].message.content,
        "streamed": "".join(streamed),
        "response": client.responses.create(model="openhands_trial", input=script(say("A response."))).output_text,
        "file": session.run(f"cat {file}; rm {file}"),
    }
