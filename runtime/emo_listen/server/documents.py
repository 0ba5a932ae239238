"""The OpenAPI and AsyncAPI documents, made from the classes that they describe."""

from __future__ import annotations

import dataclasses
import typing
from importlib.metadata import version
from typing import Any, Literal, get_args, get_origin

from emo_listen.events import Event
from emo_listen.server.audio_request import (
    BASELINES,
    EMITS,
    FILE_FORMATS,
    STREAM_FORMATS,
    AudioRequest,
)
from emo_listen.server.guard import SUBPROTOCOL, TOKEN_PREFIX
from emo_listen.server.limits import MAX_CHANNELS, MAX_MESSAGE, MAX_RATE
from emo_listen.server.metrics import CONTENT_TYPE
from emo_listen.server.refusal import CODES
from emo_listen.sound.rates import MIN_RATE

Schema = dict[str, Any]
"""A JSON Schema."""

NUMBER: Schema = {"type": "number", "minimum": 0}


def event_schemas() -> dict[str, Schema]:
    """Return the schema of each kind of event, by its name."""
    schemas = {}
    for kind in get_args(Event):
        hints = typing.get_type_hints(kind)
        schemas[kind.__name__] = _object(
            {
                field.name: _schema(hints[field.name])
                for field in dataclasses.fields(kind)
                # A stream's channels are mixed, so its events have no channel.
                if field.name != "channel"
            },
            description=(kind.__doc__ or "").strip(),
        )
    return schemas


def _schema(hint: Any) -> Schema:
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _schema(get_args(hint)[1])}
    names = {str: "string", float: "number", int: "integer", bool: "boolean"}
    return {"type": names[hint]}


def _object(properties: dict[str, Schema], **fields: Any) -> Schema:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **fields,
    }


def request_schemas(formats: tuple[str, ...]) -> dict[str, Schema]:
    """Return the schema of each option of a request for audio in one of `formats`."""
    schemas: dict[str, Schema] = {
        "format": {"type": "string", "enum": list(formats), "default": formats[0]},
        "sampling_rate": {"type": "integer", "minimum": MIN_RATE, "maximum": MAX_RATE},
        "channels": {"type": "integer", "minimum": 1, "maximum": MAX_CHANNELS},
        "emit": {"type": "string", "enum": list(EMITS)},
        "baseline": {"type": "string", "enum": list(BASELINES)},
        "vad": {"type": "boolean"},
        "status": {"type": "boolean"},
    }
    for field in dataclasses.fields(AudioRequest):
        if field.default is not dataclasses.MISSING:
            schemas[field.name]["default"] = field.default
    return schemas


MODEL: dict[str, Schema] = {
    "model": {"type": "string"},
    "labels": {"type": "array", "items": {"type": "string"}},
    "window": NUMBER,
    "hop": NUMBER,
    "baseline": {"type": "boolean"},
}
"""What `model_row` returns."""


def _schemas() -> dict[str, Schema]:
    """Return the schemas that both documents name."""
    return {
        **event_schemas(),
        "Error": _object(
            {
                "type": {"type": "string", "enum": ["error"]},
                "code": {"type": "string", "enum": list(CODES)},
                "message": {"type": "string"},
            },
            description="A refused request, or why the server ended a stream.",
        ),
        "End": _object(
            {"type": {"type": "string", "enum": ["end"]}, "seconds": NUMBER},
            description="The last message: seconds of audio that were processed.",
        ),
        "Model": _object(MODEL),
    }


def openapi() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of what is served over HTTP."""
    error = {"application/json": {"schema": _ref("Error")}}
    parameters = [
        {"name": name, "in": "query", "schema": schema}
        for name, schema in request_schemas(FILE_FORMATS).items()
    ]
    events = [_ref(name) for name in event_schemas()]
    analysis = _object(
        {
            "type": {"type": "string", "enum": ["analysis"]},
            "seconds": NUMBER,
            "events": {"type": "array", "items": {"oneOf": events}},
        }
    )
    lines = {"oneOf": [*events, _ref("End"), _ref("Error")]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "emo-listen", "version": version("emo-listen")},
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/analyse": {
                "post": {
                    "summary": "Label a recording",
                    "parameters": parameters,
                    "requestBody": {
                        "required": True,
                        "description": "A sound file, or raw PCM where `format` names one.",
                        "content": {"application/octet-stream": {}},
                    },
                    "responses": {
                        "200": {
                            "description": "The events, as an object or as JSON Lines.",
                            "content": {
                                "application/json": {"schema": analysis},
                                "application/x-ndjson": {"schema": lines},
                            },
                        },
                        "default": {"description": "A refusal.", "content": error},
                    },
                }
            },
            "/v1/models": {
                "get": _get(
                    "The model in use",
                    _object({"models": {"type": "array", "items": _ref("Model")}}),
                )
            },
            "/healthz": {
                "get": {
                    **_get(
                        "Whether the server accepts streams",
                        _object({"status": {"type": "string", "enum": ["ok"]}}),
                    ),
                    "security": [],
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Counters in Prometheus's text format",
                    "responses": {
                        "200": {"description": "Metrics.", "content": {CONTENT_TYPE: {}}},
                        "default": {"description": "A refusal.", "content": error},
                    },
                }
            },
            "/openapi.json": {"get": _get("This document", {"type": "object"})},
            "/asyncapi.json": {"get": _get("The document of /v1/stream", {"type": "object"})},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _get(summary: str, schema: Schema) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            "default": {
                "description": "A refusal.",
                "content": {"application/json": {"schema": _ref("Error")}},
            },
        },
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the WebSocket `/v1/stream`."""
    schemas = {
        **_schemas(),
        "Options": {
            "type": "object",
            "properties": request_schemas(STREAM_FORMATS),
            "additionalProperties": False,
            "description": "The first message: how the audio comes, and what is wanted.",
        },
        "Finish": _object(
            {"type": {"type": "string", "enum": ["end"]}},
            description="Ends the stream: open segments are finished and sent.",
        ),
        "Ready": _object(
            {
                "type": {"type": "string", "enum": ["ready"]},
                **MODEL,
                "idle_seconds": NUMBER,
                "max_seconds": NUMBER,
            },
            description="The stream was admitted: send audio.",
        ),
    }
    received = ["Options", "Audio", "Finish"]
    sent = ["Ready", *event_schemas(), "Error", "End"]
    messages: dict[str, Any] = {
        name: {"payload": _ref(name), "contentType": "application/json"}
        for name in [*received, *sent]
        if name != "Audio"
    }
    messages["Audio"] = {
        "contentType": "application/octet-stream",
        "description": f"Binary audio, {MAX_MESSAGE} bytes at most a message.",
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "emo-listen",
            "version": version("emo-listen"),
            "description": f"WebSocket subprotocol `{SUBPROTOCOL}`, which need not be named. "
            "A token is sent as the header `Authorization: Bearer TOKEN` or as the subprotocol "
            f"`{TOKEN_PREFIX}TOKEN`.",
        },
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "receive": {
                "action": "receive",
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": f"#/channels/stream/messages/{n}"} for n in received],
            },
            "send": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": f"#/channels/stream/messages/{n}"} for n in sent],
            },
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
