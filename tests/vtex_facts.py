"""What VTEX publishes of its Orders API, as far as it is used here: tests/data/vtex-orders-api.json.

The file holds facts alone (names, types, nullability, limits), taken from VTEX's OpenAPI document; its `source` says
which. Tests hold the client, the simulator and the sample orders to it::

    assert FACTS.route("GET", "/api/oms/pvt/orders/VVJ-1-01").faults_of_answer(200, document) == []
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FILE = Path(__file__).parent / "data" / "vtex-orders-api.json"

type Json = Any
type Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """One route: what may be asked of it, and what it answers."""

    facts: Mapping[str, Json]

    @property
    def name(self) -> str:
        """Name it: `GET /api/orders/feed`."""
        return f"{self.facts['method']} {self.facts['path']}"

    @property
    def answer(self) -> Json:
        """Return the schema of its answer; None where VTEX documents none."""
        return self.facts.get("answer")

    def fits(self, method: str, path: str) -> bool:
        """Say whether a request is to this route; a part of the path in braces is one segment of it."""
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(self.facts["path"]))
        return method == self.facts["method"] and re.fullmatch(pattern, path) is not None

    def faults_of_query(self, query: Mapping[str, str]) -> list[str]:
        """List what a query has that is not documented so."""
        known = self.facts["query"]
        faults = [f"{name} is no parameter" for name in query if name not in known]
        faults += [f"{name} is missing" for name, fact in known.items() if fact.get("required") and name not in query]
        return faults + [
            f"{name}={query[name]!r} is not {fact}"
            for name, fact in known.items()
            if name in query and not _is_value(query[name], fact)
        ]

    def faults_of_body(self, body: Json) -> list[str]:
        """List what a body has that is not documented so; None is a request without one."""
        schema = self.facts.get("body")
        if schema is None or body is None:
            return [] if schema is body is None else [f"body: {body!r}"]
        return _faults(body, schema)

    def faults_of_answer(self, status: int, body: Json) -> list[str]:
        """List what an answer has that is not documented so."""
        statuses = self.facts.get("statuses", [200])
        if status not in statuses:
            return [f"status {status} is none of {statuses}"]
        return _faults(body, self.answer) if status == 200 and self.answer else []


class Facts:
    """The file."""

    @cached_property
    def all(self) -> Json:
        """Return all that it holds."""
        return json.loads(FILE.read_text("utf-8"))

    @property
    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route(route) for route in self.all["routes"]]

    def route(self, method: str, path: str) -> Route | None:
        """Return the route of a request."""
        return next((route for route in self.routes if route.fits(method, path)), None)

    @property
    def order(self) -> Json:
        """Return the schema of an order document."""
        return self.all["routes"][0]["answer"]

    @property
    def filter_statuses(self) -> list[str]:
        """List what a filter by status may name."""
        return list(self.all["filter"]["statuses"])

    @property
    def order_ids(self) -> list[str]:
        """List ids of orders as VTEX's documents show them, of several marketplaces."""
        return list(self.all["order_ids"])

    def faults_of_filter(self, chosen: Mapping[str, Json]) -> list[str]:
        """List what VTEX would not take of a filter, and what would be silence."""
        kind = chosen["type"]
        if kind not in self.all["filter"]["types"]:
            return [f"{kind} is no type"]
        mixed = set(self.all["filter"]["exclusive"][kind]) & chosen.keys()
        unknown = set(chosen.get("status", [])) - set(self.filter_statuses)
        return [f"{name} is the other type's" for name in mixed] + [f"{name} is no status" for name in unknown]


FACTS = Facts()


def nullable(schema: Json, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of each member that may be null; `*` is every entry of a list."""
    for name, member in schema.get("properties", {}).items():
        types = member["type"]
        if isinstance(types, list) and "null" in types:
            yield (*path, name)
        yield from nullable(member, (*path, name))
    if entries := schema.get("items"):
        if isinstance(entries["type"], list):
            yield (*path, "*")
        yield from nullable(entries, (*path, "*"))


def with_null(document: Json, path: Path_) -> Json:
    """Return a document with null at a path; one that does not have that far stays as it is."""
    if not path:
        return None
    name, *rest = path
    if name == "*":
        return [with_null(entry, tuple(rest)) for entry in document] if isinstance(document, list) else document
    if not isinstance(document, dict) or (rest and name not in document):
        return document
    return {**document, name: with_null(document.get(name), tuple(rest))}


def _faults(document: Json, schema: Json) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(schema).iter_errors(document)]


def _is_value(text: str, fact: Mapping[str, Json]) -> bool:
    """Say whether the text of a parameter is what is documented."""
    if fact["type"] == "integer":
        return bool(re.fullmatch(r"[0-9]+", text)) and 1 <= int(text) <= fact.get("maximum", 10**9)
    if fact["type"] == "boolean":
        return text in {"true", "false"}
    return bool(re.fullmatch(fact.get("pattern", ".+"), text)) and text in fact.get("enum", [text])
