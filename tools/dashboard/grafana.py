"""Panels in the JSON of Grafana 11."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from dashboard.panels import ROWS, Panel, Row
from local_cluster.paths import ROOT

FILE = ROOT / "helm" / "openhands-sandbox" / "files" / "dashboard.json"

_SCHEMA_VERSION = 39
"""Of Grafana 11.0. Newer ones migrate it when they load it."""
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def text() -> str:
    """The dashboard as the file has it."""
    return json.dumps(dashboard(), indent=1) + "\n"


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    return {
        "uid": "openhands-sandbox",
        "title": "OpenHands sandboxes",
        "tags": ["openhands"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": list(_panels()),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _namespace() -> dict[str, Any]:
    query = "label_values(openhands_sandbox_operator_leader, namespace)"
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "namespace"},
        "refresh": 2,
        "sort": 1,
    }


def _panels() -> Iterator[dict[str, Any]]:
    ids, top = itertools.count(1), 0
    for row in ROWS:
        yield _heading(row, next(ids), top)
        top += 1
        for number, panel in enumerate(row.panels):
            line, column = divmod(number, _COLUMNS // _WIDTH)
            yield _graph(panel, next(ids), column * _WIDTH, top + line * _HEIGHT)
        top += -(-len(row.panels) * _WIDTH // _COLUMNS) * _HEIGHT


def _heading(row: Row, identifier: int, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
    return {"id": identifier, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}


def _graph(panel: Panel, identifier: int, left: int, top: int) -> dict[str, Any]:
    return {
        "id": identifier,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"x": left, "y": top, "w": _WIDTH, "h": _HEIGHT},
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "editorMode": "code",
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": True,
            }
            for number, query in enumerate(panel.queries)
        ],
    }
