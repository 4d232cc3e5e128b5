"""What may be logged of a request: words of the known APIs. No name, key, id or query that a client chose."""

_WORDS = frozenset(
    # The Runtime API, and the gateway's other paths
    b"start stop pause resume list usage sessions batch runtime explain registry_prefix image_exists build "
    b"build_status api keys admin warm-runtime-configs api-keys challenge login docs redoc openapi.json health alive "
    b"ready server_info "
    # The agent server, of its OpenAPI document (openhands-agent-server 1.58.2)
    b"acp activate agent-profiles agent-schema agent_final_response app-backends archive ask_agent auth backend bash "
    b"bash-events bash_commands bash_events bundle callback canvas-extensions catalog changes chat children commits "
    b"completions condense confirmation_policy conversation-schema conversations count create_directory "
    b"credential-bindings credentials data device diff download download-trajectory events execute_bash_command fetch "
    b"file fork git goal home hooks icon init install installed interrupt llm load_plugin logout logs marketplace "
    b"materialize mcp meta-profiles models navigate oauth openai parents plugins poll prepare "
    b"prepare-for-sandbox-pause profiles provider-connections providers refresh rename repositories reprovision "
    b"respond_to_confirmation responses run search search_subdirs secrets security_analyzer session settings skills "
    b"sockets start_bash_command status sub-agents subscription switch_acp_model switch_llm switch_profile sync test "
    b"tools upload url v1 validate verified vscode workspace workspace-session workspaces".split()
)
_MOST = 10
"""The most segments that are logged."""
_HOLE = "{}"


def template(target: bytes) -> str:
    """The path of a request target, with `{}` for each segment that is not a word of a known API."""
    path = target.partition(b"?")[0]
    if path == b"*":
        return "*"
    first, *segments = path.split(b"/")
    shown = [segment.decode() if segment in _WORDS or not segment else _HOLE for segment in segments[:_MOST]]
    if len(segments) > _MOST:
        shown.append("...")
    return "/".join(["" if not first else _HOLE, *shown])
