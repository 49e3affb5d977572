"""`/v1/docs`: the OpenAPI document as a page of our own, since the usual viewers load scripts from elsewhere."""

import base64
import hashlib
import html
from typing import Any, Final

_STYLE: Final = (
    "body{font:15px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font:13px/1.4 ui-monospace,monospace}pre{overflow:auto;padding:.75rem;border:1px solid #8886}"
    "h2{margin-top:2.5rem;border-bottom:1px solid #8886}dt{font-weight:600;margin-top:.5rem}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"


def render(openapi: dict[str, Any]) -> str:
    """The page of an OpenAPI document: each call with its text, parameters, body and answers."""
    info = openapi["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{_text(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1><p>{_text(info.get('description', ''))}</p>",
        "<p>The document itself: <a href=openapi.json>openapi.json</a></p>",
    ]
    for path, calls in openapi["paths"].items():
        for method, call in calls.items():
            parts.append(_call(method, path, call))
    parts.append("<h2>Documents</h2>")
    for name, schema in openapi["components"]["schemas"].items():
        parts.append(f"<h3 id='{_text(name)}'>{_text(name)}</h3><p>{_text(schema.get('description', ''))}</p>")
        parts.append(_properties(schema))
    return "".join(parts) + "</html>"


def _call(method: str, path: str, call: dict[str, Any]) -> str:
    parameters = "".join(
        f"<dt><code>{_text(item['name'])}</code> ({_text(item['in'])})</dt><dd>{_text(item.get('description', ''))} "
        f"<code>{_text(_type(item.get('schema', {})))}</code></dd>"
        for item in call.get("parameters", [])
    )
    body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = "".join(
        f"<dt>{_text(code)}</dt><dd>{_text(answer.get('description', ''))} {_content(answer)}</dd>"
        for code, answer in call["responses"].items()
    )
    return (
        f"<h2><code>{method.upper()} {_text(path)}</code></h2><p>{_text(call.get('summary', ''))}. "
        f"{_text(call.get('description', ''))}</p>"
        + (f"<h4>Parameters</h4><dl>{parameters}</dl>" if parameters else "")
        + (f"<h4>Body</h4><p><code>{_text(_type(body))}</code></p>" if body else "")
        + f"<h4>Answers</h4><dl>{answers}</dl>"
    )


def _properties(schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<dt><code>{_text(name)}</code></dt><dd><code>{_text(_type(item))}</code> "
        f"{_text(item.get('description', ''))}</dd>"
        for name, item in schema.get("properties", {}).items()
    )
    return f"<dl>{rows}</dl>"


def _content(answer: dict[str, Any]) -> str:
    schemas = [content.get("schema", {}) for content in answer.get("content", {}).values()]
    names = [name for schema in schemas for name in [_type(schema), *_codes(schema)]]
    return " ".join(f"<code>{_text(name)}</code>" for name in names)


def _codes(schema: dict[str, Any]) -> list[str]:
    """The codes of a problem's answer."""
    types = [part.get("properties", {}).get("type", {}).get("enum", []) for part in schema.get("allOf", [])]
    return [str(name).rpartition("/")[2] for part in types for name in part]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "allOf" in schema:
        return _type(schema["allOf"][0])
    if "anyOf" in schema:
        return " | ".join(_type(item) for item in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(item) for item in schema["enum"])
    if schema.get("type") == "array":
        return f"{_type(schema.get('items', {}))}[]"
    return str(schema.get("type", schema.get("const", "any")))


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
