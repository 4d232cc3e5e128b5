"""Reference pages, from the models: docs/crds.md and docs/settings.md."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml
from pydantic_settings import CLI_SUPPRESS, BaseSettings

from local_cluster.paths import ROOT
from sandbox_crds.manifests import manifests
from sandbox_gateway.settings import Settings as GatewaySettings
from sandbox_operator.settings import Settings as OperatorSettings

type Schema = Mapping[str, Any]

_CRDS = """\
# Custom resources

Generated from `crds/sandbox_crds/models` by `make generate`. Do not edit.

`kubectl explain` shows the same text. All kinds belong to the API group `sandbox.openhands.dev/v1alpha1`.
"""

_SETTINGS = """\
# Settings of the processes

Generated from the settings of both processes by `make generate`. Do not edit.

The chart sets what an installation needs; see its [values](../helm/openhands-sandbox/values.yaml). This page is for
programs that run the processes without the chart. Each variable is a flag, too: `SANDBOX_GATEWAY_LISTEN_PORT` is
`--listen-port`. A flag overrides its variable.
"""


def pages() -> dict[str, str]:
    """Each generated page by its name in docs."""
    return {"crds.md": _CRDS + "".join(_kinds()), "settings.md": _SETTINGS + "".join(_processes())}


def write() -> None:
    """Write the pages to docs."""
    for name, text in pages().items():
        (ROOT / "docs" / name).write_text(text)


def _kinds() -> Iterator[str]:
    for text in manifests().values():
        spec = yaml.safe_load(text)["spec"]
        schema: Schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        yield f"\n## {spec['names']['kind']}\n\n{schema['description']}\n"
        for part in ("spec", "status"):
            if part in schema["properties"]:
                yield f"\n### `{part}` of a {spec['names']['kind']}\n\n{schema['properties'][part]['description']}\n"
                yield "\n| Field | Type | Default | Description |\n|---|---|---|---|\n"
                yield from _fields(schema["properties"][part], "")


def _fields(schema: Schema, path: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in cast("Mapping[str, Schema]", schema.get("properties", {})).items():
        default = "required" if name in required else _literal(field.get("default"))
        yield _row(f"`{path}{name}`", _type(field), default, field.get("description", ""))
        yield from _fields(field, f"{path}{name}.")
        yield from _fields(field.get("items", {}), f"{path}{name}[].")
        yield from _fields(field.get("additionalProperties", {}), f"{path}{name}.*.")


def _processes() -> Iterator[str]:
    processes: dict[str, type[BaseSettings]] = {"Operator": OperatorSettings, "Gateway": GatewaySettings}
    for title, settings in processes.items():
        prefix = settings.model_config.get("env_prefix", "")
        schema = settings.model_json_schema()
        yield f"\n## {title}\n\n| Variable | Type | Default | Description |\n|---|---|---|---|\n"
        for name, about in settings.model_fields.items():
            if CLI_SUPPRESS not in about.metadata:
                field = schema["properties"][name]
                variable = f"`{prefix}{name.upper()}`"
                yield _row(variable, _type(field), _literal(field.get("default")), field["description"])


def _type(field: Schema) -> str:
    options = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
    if options:
        return _type(options[0])
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"] if value != "")
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = field.get("type", "any")
    if kind == "array":
        items = _type(field.get("items", {}))
        return "list" if items == "any" else f"list of {items}"
    if isinstance(values := field.get("additionalProperties"), dict):
        return f"map of {_type(cast(Schema, values))}"
    if kind in {"integer", "number"}:
        return f"{kind}{_bounds(field.get('minimum'), field.get('maximum'))}"
    return kind


def _bounds(least: float | None, most: float | None) -> str:
    if most is not None:
        return f", {least or 0} to {most}"
    return "" if least is None else f", at least {least}"


def _literal(default: object) -> str:
    if default in (None, "", [], (), {}):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |\n"
