"""Generates the CRD manifests from the models: `python -m sandbox_crds.manifests DIRECTORY…` writes them."""

import argparse
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel

from sandbox_crds.api import CATEGORY, GROUP, VERSION
from sandbox_crds.models import Sandbox, SandboxClass, SandboxImages, SandboxPool, SandboxUsage
from sandbox_crds.models.sandbox import NAME_RULE as SANDBOX_NAME_RULE
from sandbox_crds.models.sandbox_pool import NAME_RULE as POOL_NAME_RULE

type Schema = dict[str, Any]

_KEPT = frozenset(
    {"type", "description", "default", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems"}
    | {"maxItems", "minProperties", "maxProperties"}
)

_READY = '.status.conditions[?(@.type=="Ready")]'
SANDBOX_COLUMNS = [
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_READY}.reason"},
    {"name": "Class", "type": "string", "jsonPath": ".spec.className", "priority": 1},
    {"name": "Owner", "type": "string", "jsonPath": ".spec.owner"},
    {"name": "Launch", "type": "string", "jsonPath": ".status.launch"},
    {"name": "Restarts", "type": "integer", "jsonPath": ".status.restartCount"},
    {"name": "Pod", "type": "string", "jsonPath": ".status.podName", "priority": 1},
    {"name": "IP", "type": "string", "jsonPath": ".status.podIP", "priority": 1},
    {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
POOL_COLUMNS = [
    {"name": "Desired", "type": "integer", "jsonPath": ".status.desiredReplicas"},
    {"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas"},
    {"name": "Starting", "type": "integer", "jsonPath": ".status.startingReplicas"},
    {"name": "Failing", "type": "integer", "jsonPath": ".status.failingReplicas"},
    {"name": "Claimed", "type": "integer", "jsonPath": ".status.claimedPods"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_READY}.reason"},
    {"name": "Class", "type": "string", "jsonPath": ".spec.className", "priority": 1},
    {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
IMAGES_COLUMNS = [
    {"name": "Images", "type": "integer", "jsonPath": ".status.images"},
    {"name": "Nodes", "type": "integer", "jsonPath": ".status.nodes"},
    {"name": "Wanted", "type": "integer", "jsonPath": ".status.wanted"},
    {"name": "Ready", "type": "integer", "jsonPath": ".status.ready"},
    {"name": "Pulling", "type": "integer", "jsonPath": ".status.pulling"},
    {"name": "Failed", "type": "integer", "jsonPath": ".status.failed"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_READY}.reason"},
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
USAGE_COLUMNS = [
    {"name": "Owner", "type": "string", "jsonPath": ".spec.owner"},
    {"name": "Running s", "type": "integer", "jsonPath": ".status.total.runningSeconds"},
    {"name": "Suspended s", "type": "integer", "jsonPath": ".status.total.suspendedSeconds"},
    {"name": "Cold", "type": "integer", "jsonPath": ".status.total.coldStarts"},
    {"name": "Warm", "type": "integer", "jsonPath": ".status.total.warmStarts"},
    {"name": "Resumes", "type": "integer", "jsonPath": ".status.total.resumes"},
    {"name": "Through", "type": "string", "jsonPath": ".status.through"},
]
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
CLASS_COLUMNS = [
    {"name": "CPU", "type": "string", "jsonPath": ".spec.resources.requests.cpu"},
    {"name": "Memory", "type": "string", "jsonPath": ".spec.resources.requests.memory"},
    {"name": "Persistent", "type": "boolean", "jsonPath": ".spec.workspace.persistent"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def structural(schema: Schema, definitions: Schema) -> Schema:
    """A pydantic JSON schema as the structural schema of a CRD: no references, no titles, no null."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return structural({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "anyOf" in schema:
        # `X | None` means that the field may be absent; Kubernetes writes no nulls.
        [chosen] = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
        return structural({**chosen, **rest}, definitions)
    result = {key: value for key, value in schema.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if result.get("type") == "integer":
        result["format"] = "int64" if schema.get("maximum", 0) > 2**31 else "int32"
    if "properties" in schema:
        result["properties"] = {name: structural(part, definitions) for name, part in schema["properties"].items()}
        if required := schema.get("required"):
            result["required"] = list(required)
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions)
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        result["additionalProperties"] = structural(cast(Schema, additional), definitions)
    if "default" in result:
        result["default"] = without_nulls(result["default"])
    if result.get("default") in ({}, []) and result.get("type") in {"object", "array"}:
        # Defaults are stored in each object; empty ones would only make it larger.
        del result["default"]
    return result


def without_nulls(default: object) -> object:
    """A default as Kubernetes accepts it: absent instead of null fields."""
    if not isinstance(default, dict):
        return default
    fields = cast("dict[str, object]", default)
    return {name: without_nulls(value) for name, value in fields.items() if value is not None}


def without_defaults(schema: Schema) -> Schema:
    """The schema without defaults, for a status, so that nothing is stored that was not written."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in kept:
        kept["properties"] = {name: without_defaults(part) for name, part in kept["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if inner in kept:
            kept[inner] = without_defaults(kept[inner])
    return kept


def crd(
    model: type[BaseModel],
    plural: str,
    short_name: str,
    columns: list[dict[str, Any]],
    *,
    name_rule: Schema | None = None,
    scale: Schema | None = None,
    is_record: bool = False,
) -> dict[str, Any]:
    """The CustomResourceDefinition of one model, with the subresource `status` if the model has a status.

    `is_record`: the writer of the status also creates the object. Without the subresource, this is one write.
    """
    source = model.model_json_schema(by_alias=True)
    definitions = source.get("$defs", {})
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": structural(source["properties"]["spec"], definitions),
    }
    schema: Schema = {"type": "object", "description": source["description"], "properties": properties}
    if "spec" in source.get("required", []):
        schema["required"] = ["spec"]
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    }
    if "status" in source["properties"]:
        status = without_defaults(structural(source["properties"]["status"], definitions))
        if not is_record:
            # Tools that follow kstatus would take a new object, which has no conditions yet, for a finished one.
            status = {**status, "default": {"observedGeneration": 0}}
            version["subresources"] = {"status": {}, **({"scale": scale} if scale else {})}
        properties["status"] = status
    schema.update(name_rule or {})
    kind = model.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def definitions() -> dict[str, dict[str, Any]]:
    """Each CRD by the name of its file."""
    return {
        "sandboxes.yaml": crd(Sandbox, "sandboxes", "ohsb", SANDBOX_COLUMNS, name_rule=SANDBOX_NAME_RULE),
        "sandboxclasses.yaml": crd(SandboxClass, "sandboxclasses", "ohsc", CLASS_COLUMNS),
        "sandboxpools.yaml": crd(
            SandboxPool, "sandboxpools", "ohsp", POOL_COLUMNS, name_rule=POOL_NAME_RULE, scale=SCALE
        ),
        "sandboximages.yaml": crd(SandboxImages, "sandboximages", "ohsi", IMAGES_COLUMNS, name_rule=POOL_NAME_RULE),
        "sandboxusages.yaml": crd(SandboxUsage, "sandboxusages", "ohsu", USAGE_COLUMNS, is_record=True),
    }


def schemas() -> dict[str, Schema]:
    """The schema of each kind."""
    specs = [body["spec"] for body in definitions().values()]
    return {spec["names"]["kind"]: spec["versions"][0]["schema"]["openAPIV3Schema"] for spec in specs}


def manifests() -> dict[str, str]:
    """File name to YAML text of each CRD."""
    head = "# Generated from crds/sandbox_crds/models by `make generate`. Do not edit.\n"
    return {name: head + yaml.safe_dump(body, sort_keys=False, width=120) for name, body in definitions().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the CustomResourceDefinitions as YAML.")
    parser.add_argument("directory", nargs="+", type=Path, help="where to write them")
    for directory in parser.parse_args().directory:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in manifests().items():
            (directory / name).write_text(text)
            print(directory / name)


if __name__ == "__main__":
    main()
