"""The page about the HTTP door: OpenAPI's description as plain HTML, which needs no script and no network."""

from collections.abc import Iterator
from html import escape
from typing import Any

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""For the header `Content-Security-Policy`: nothing is loaded."""

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f4;border-radius:4px}code{padding:0 .2em}"
    "pre{padding:.8em;overflow:auto}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #ddd;padding:.3em .6em;text-align:left;vertical-align:top}"
    "h2{margin-top:2em}"
)
_EXAMPLE = 'curl -F t1=@t1.png -F t2=@t2.png -F query="Where are new buildings?" {url}/v1/detect'


def docs_page(openapi: dict[str, Any], url: str) -> str:
    """The page.

    Args:
        openapi: the application's description.
        url: under which it is served, for the example.
    """
    info = openapi["info"]
    schemas = openapi.get("components", {}).get("schemas", {})
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>",
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info.get('summary', ''))}</p>",
        f"<pre>{escape(_EXAMPLE.format(url=url))}</pre>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts.extend(_operation(f"{method.upper()} {path}", operation))
    parts.extend(part for name, schema in schemas.items() for part in _schema(name, schema))
    return "\n".join(parts) + "\n"


def _operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(title)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Takes <code>{escape(kind)}</code>:</p>"
        yield from _fields(body["schema"])
    rows = [
        f"<tr><td><code>{escape(status)}</code><td>{escape(answer['description'])}<td>{_kinds(answer)}"
        for status, answer in operation["responses"].items()
    ]
    yield f"<p>Answers:</p><table>{''.join(rows)}</table>"


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>'
    yield from _fields(schema)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(name)}</code><td>{_type(told)}<td>{'' if name in required else 'optional'}"
        f"<td>{escape(told.get('description', ''))}"
        for name, told in schema.get("properties", {}).items()
    ]
    yield f"<table>{''.join(rows)}</table>"


def _kinds(answer: dict[str, Any]) -> str:
    content = answer.get("content", {})
    return ", ".join(
        f"<code>{escape(kind)}</code> {_type(body.get('schema', {}))}" for kind, body in content.items()
    )


def _type(told: dict[str, Any]) -> str:
    if "$ref" in told:
        name = escape(told["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in told:
        return " or ".join(_type(one) for one in told["anyOf"])
    if "enum" in told:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in told["enum"])
    if told.get("type") == "array":
        return f"list of {_type(told['items'])}"
    return escape(str(told.get("format") or told.get("type") or told.get("const", "")))
