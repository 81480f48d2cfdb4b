"""MLflow tracking and model registry 2.0, answered by MLflow's own server behind this host.

A call that no client of ours makes is not passed on: it is answered 501 like any other.
"""

from __future__ import annotations

import json

import httpx
from fastapi import APIRouter, Request, Response

from ..errors import ApiError

MAX_BODY = 32 * 1024 * 1024
router = APIRouter()

EXPERIMENTS = (
    "POST experiments/create",
    "POST experiments/delete",
    "GET experiments/get",
    "GET experiments/get-by-name",
    "POST experiments/search",
    "POST experiments/set-experiment-tag",
)
RUNS = (
    "POST runs/create",
    "POST runs/delete",
    "GET runs/get",
    "POST runs/log-batch",
    "POST runs/log-metric",
    "POST runs/log-parameter",
    "POST runs/outputs",
    "POST runs/search",
    "POST runs/set-tag",
    "POST runs/update",
    "GET metrics/get-history",
)
LOGGED_MODELS = (
    "POST logged-models",
    "POST logged-models/search",
    "GET logged-models/{model_id}",
    "PATCH logged-models/{model_id}",
    "PATCH logged-models/{model_id}/tags",
)
REGISTRY = (
    "POST registered-models/create",
    "DELETE registered-models/delete",
    "GET registered-models/get",
    "POST registered-models/get-latest-versions",
    "GET registered-models/search",
    "POST registered-models/set-tag",
    "PATCH registered-models/update",
    "DELETE registered-models/alias",
    "GET registered-models/alias",
    "POST registered-models/alias",
    "POST model-versions/create",
    "DELETE model-versions/delete",
    "GET model-versions/get",
    "GET model-versions/get-download-uri",
    "GET model-versions/search",
    "POST model-versions/set-tag",
    "PATCH model-versions/update",
)


async def read_text(request: Request) -> str:
    """The body as text. Raises ApiError 413 past the limit, 400 when it is not UTF-8."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY:
            raise ApiError(413, "BAD_REQUEST", "The body is too large.")
        pieces.append(piece)
    try:
        return b"".join(pieces).decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, "BAD_REQUEST", "The body is not UTF-8 text.") from error


def is_databricks_client(request: Request) -> bool:
    """Whether the client was told ``databricks``: MLflow then speaks through Databricks' SDK."""
    return "databricks-sdk-py" in request.headers.get("user-agent", "")


async def pass_on(request: Request) -> Response:
    """One request to MLflow's server, with names of artifact places in the client's form."""
    services = request.app.state.services
    names = services.artifact_names
    text = await read_text(request)
    # MLflow fails on an empty body of a call that has one, and validates an empty object.
    content = "" if request.method == "GET" else json.dumps(names.request_body(text))
    query = httpx.QueryParams(
        [(key, names.inward(value)) for key, value in request.query_params.multi_items()]
    )
    answer = await services.mlflow.forward(request.method, request.url.path, query, content)
    text = names.outward(answer.text, is_databricks_client(request))
    return Response(text, answer.status_code, media_type="application/json")


for _call in (*EXPERIMENTS, *RUNS, *LOGGED_MODELS, *REGISTRY):
    _method, _path = _call.split(" ")
    router.add_api_route(f"/api/2.0/mlflow/{_path}", pass_on, methods=[_method], name=_call)
