"""The OpenAPI description: everything is described, and every example is what its schema says."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from sandbox_gateway.contract.responses import RuntimeResponse
from sandbox_gateway.runtime_api import examples
from unit.sandbox_gateway.support import ScriptedService, runtime_api

PATHS = {
    ("POST", "/start"),
    ("GET", "/sessions/batch"),
    ("GET", "/sessions/{session_id}"),
    ("GET", "/runtime/{runtime_id}"),
    ("GET", "/list"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/stop"),
    ("GET", "/explain/{runtime_id}"),
    ("GET", "/api/warm-runtime-configs"),
    ("GET", "/usage"),
    ("GET", "/events"),
    ("GET", "/logs/{runtime_id}"),
    ("GET", "/pools"),
    ("GET", "/limits"),
    ("GET", "/history/{runtime_id}"),
    ("GET", "/registry_prefix"),
    ("GET", "/image_exists"),
    ("POST", "/build"),
    ("GET", "/build_status"),
}

type Part = dict[str, Any]


@pytest.fixture
async def description() -> Part:
    async with runtime_api(ScriptedService()) as http:
        response = await http.get("/openapi.json")
    found: Part = response.json()
    return found


def operations(description: Part) -> Iterator[tuple[str, str, Part]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def contents(operation: Part) -> Iterator[tuple[str, Part]]:
    """Each body of an operation with the place where it stands."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]["application/json"]
    for code, response in operation["responses"].items():
        [content] = response["content"].values()
        yield code, content


def shown(content: Part) -> list[Any]:
    """All examples of a body or a parameter."""
    several: dict[str, Part] = content.get("examples", {})
    values = [entry["value"] for entry in several.values()]
    return [*values, *([content["example"]] if "example" in content else []), *content["schema"].get("examples", [])]


def validator(description: Part, schema: Part) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": description["components"]})


def test_it_has_every_endpoint(description: Part) -> None:
    assert {(method, path) for method, path, _ in operations(description)} == PATHS


def test_every_operation_is_described_and_needs_the_key(description: Part) -> None:
    for method, path, operation in operations(description):
        assert operation["summary"], (method, path)
        assert operation["description"].endswith("."), (method, path)
        assert operation["tags"], (method, path)
        assert operation["security"] == [{"APIKeyHeader": []}], (method, path)
        assert {"401", "422", "503"} <= set(operation["responses"]), (method, path)
        for response in operation["responses"].values():
            assert response["description"], (method, path)
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (method, path)


def test_every_body_has_an_example_that_its_schema_takes(description: Part) -> None:
    count = 0
    for method, path, operation in operations(description):
        bodies = [*contents(operation), *((entry["name"], entry) for entry in operation.get("parameters", []))]
        for place, content in bodies:
            found = shown(content)
            assert found, (method, path, place)
            for example in found:
                validator(description, content["schema"]).validate(example)
                count += 1
    assert count > 80


def test_every_refusal_is_an_object_with_detail(description: Part) -> None:
    for method, path, operation in operations(description):
        for code, response in operation["responses"].items():
            if code != "200":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorResponse"}, (method, path, code)


def test_no_field_of_an_answer_is_ever_null_but_for_one(description: Part) -> None:
    for name, schema in description["components"]["schemas"].items():
        if name.endswith("Request"):
            continue
        assert set(schema["required"]) | {"status", "status_detail"} >= set(schema["properties"]), name
        for field, part in schema["properties"].items():
            assert ("null" in str(part)) == (field == "status_detail"), (name, field)


@pytest.mark.parametrize("example", [examples.RUNNING, examples.FAILED, examples.PAUSED])
def test_examples_of_a_sandbox_have_all_fields_and_no_others(example: Part) -> None:
    assert RuntimeResponse.model_validate(example, extra="forbid").model_dump() == example


async def test_the_examples_of_start_are_accepted() -> None:
    service = ScriptedService()
    async with runtime_api(service) as http:
        for example in (examples.SDK_START, examples.APP_START):
            response: httpx.Response = await http.post("/start", json=example)
            assert response.status_code == 200
    assert [request.session_id for request in service.started] == [
        examples.SDK_START["session_id"],
        examples.APP_START["session_id"],
    ]
