"""Tests that a page of the documentation names."""

import ast
from pathlib import Path

from local_cluster.paths import ROOT


def functions(path: Path) -> set[str]:
    """Names of the functions of a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def assert_exists(file: str, name: str) -> None:
    """Fail unless this file of the repository has this test."""
    path = ROOT / file
    assert path.name.startswith("test_")
    assert name.startswith("test_")
    assert name in functions(path)
