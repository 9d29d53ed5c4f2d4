"""The documentation of the API, as a page that asks nobody else for anything."""

from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

_STYLE = "/page.css"


def add_docs(app: FastAPI) -> None:
    """Serve `/docs`: a table of what may be asked, written from `/openapi.json`."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_page(app.openapi()))


def _page(schema: dict[str, Any]) -> str:
    parts = [
        _operation(path, method, own, schema)
        for path, methods in schema["paths"].items()
        for method, own in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{escape(schema["info"]["title"])}: API</title><link rel="stylesheet" href="{_STYLE}">'
        f'<main class="docs"><h1>{escape(schema["info"]["title"])} {escape(schema["info"]["version"])}</h1>'
        f'<p>{escape(schema["info"]["description"])} <a href="/openapi.json">openapi.json</a></p>{"".join(parts)}</main></html>'
    )


def _operation(path: str, method: str, own: dict[str, Any], schema: dict[str, Any]) -> str:
    content = own.get("requestBody", {}).get("content", {})
    asked = content.get("application/json", {}).get("schema")
    told = own["responses"]["200"].get("content", {}).get("application/json", {}).get("schema")
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(own.get('summary', ''))}. "
        f"{escape(own.get('description', ''))}</p>{_fields('asked', asked, schema)}{_fields('answered', told, schema)}"
    )


def _fields(title: str, node: dict[str, Any] | None, schema: dict[str, Any]) -> str:
    if not node or "$ref" not in node:
        return ""
    model = schema["components"]["schemas"][node["$ref"].rpartition("/")[2]]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(own))}<td>{escape(own.get('description', ''))}"
        f"<td>{escape(str(own['default'])) if 'default' in own else ''}"
        for name, own in model.get("properties", {}).items()
    )
    return f"<table><tr><th>{title}<th>type<th>what<th>default{rows}</table>"


def _kind(own: dict[str, Any]) -> str:
    if "$ref" in own:
        return str(own["$ref"].rpartition("/")[2])
    if "anyOf" in own:
        return " or ".join(_kind(one) for one in own["anyOf"])
    if "enum" in own:
        return " or ".join(map(str, own["enum"]))
    if own.get("type") == "array" and "items" in own:
        return f"list of {_kind(own['items'])}"
    return str(own.get("type", "any"))
