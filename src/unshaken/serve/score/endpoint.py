"""The addresses below `/v1`: score, the model, health, readiness, metrics and OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from typing_extensions import override

from unshaken.serve.access import Doorkeeper
from unshaken.serve.guard import problem
from unshaken.serve.request_log import CALLER
from unshaken.serve.score import openapi
from unshaken.serve.score.bodies import FORM, IMAGES, Body, media_type, parse_body, read_form_files
from unshaken.serve.score.options import ScoreOptions
from unshaken.serve.score.reply import describe_model, reply
from unshaken.serve.score.samples import make_samples
from unshaken.serve.score.schema import HealthAnswer, ModelAnswer, ScoreAnswer
from unshaken.serve.score.service import ScoreService, now


class CountedRoute(APIRoute):
    """A route whose requests are counted by the status of their answers."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def counted(request: Request) -> Response:
            metrics, began, status = _service(request).metrics, now(), 500
            try:
                answer = await handle(request)
                status = answer.status_code
                return answer
            except HTTPException as error:
                status = error.status_code
                raise
            except RequestValidationError:
                status = 400
                raise
            finally:
                metrics.requests.labels(str(status)).inc()
                metrics.seconds.observe(now() - began)

        return counted


LARGE = 64 << 10
"""Bytes from which a body is parsed beside the event loop."""
router, counted = APIRouter(), APIRouter(route_class=CountedRoute)


def _service(request: Request) -> ScoreService:
    return cast(ScoreService, request.app.state.score)


async def _shared(request: Request) -> ScoreService:
    return _service(request)


Service = Annotated[ScoreService, Depends(_shared)]
"""What the addresses share."""


async def _caller(request: Request, access: Doorkeeper) -> str:
    asks_a_database = access.local is None
    caller = await run_in_threadpool(access.caller, request) if asks_a_database else access.caller(request)
    request.scope[CALLER] = caller
    return caller


Caller = Annotated[str, Depends(_caller)]
"""The name of whoever calls; without one the request is refused."""


@counted.post("/v1/score", response_model=None, responses=openapi.answers(ScoreAnswer), openapi_extra=openapi.BODY)
async def score(
    request: Request, service: Service, caller: Caller, options: Annotated[ScoreOptions, Query()]
) -> Response:
    """Score images: class, calibrated probabilities, detectors' scores and decision, and checks that are asked for."""
    deadline = now() + (options.deadline or service.limits.seconds)
    service.count_call(caller)
    body = await _read(request, service)
    with service.admit(len(body.ids), options, deadline) as passes:
        samples = await run_in_threadpool(make_samples, body, service.scorer.view, service.limits)
        found = await service.answers(request, samples, options, passes=passes, deadline=deadline)
    return JSONResponse(reply(service.scorer, samples, found, options))


@router.get("/v1/model", response_model=None, responses=openapi.answers(ModelAnswer))
def model(service: Service, caller: Caller) -> Response:
    """Describe the service: the model, its classes, its calibration, its detectors' promises, and limits."""
    return JSONResponse(describe_model(service.scorer, service.limits))


@router.get("/v1/health", response_model=None, responses=openapi.answers(HealthAnswer))
def health(service: Service) -> Response:
    """Whether the server works; a server that does not should be started anew."""
    if not service.batcher.is_alive:
        return problem(503, "The thread of the model has ended.")
    return JSONResponse({"status": "healthy"})


@router.get("/v1/ready", response_model=None, responses=openapi.answers(HealthAnswer))
def ready(service: Service) -> Response:
    """Whether the server takes requests now: the model is warm and the queue has room."""
    if not service.is_ready:
        return problem(503, "The queue is full." if service.batcher.is_alive else "The server is starting or ending.")
    return JSONResponse({"status": "ready"})


@router.get("/v1/metrics", response_class=Response)
def metrics(service: Service, caller: Caller) -> Response:
    """Counters and gauges in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/openapi.json", include_in_schema=False)
def description(caller: Caller) -> Response:
    """Serve the OpenAPI description of the service."""
    return JSONResponse(openapi.document([*counted.routes, *router.routes]))


async def _read(request: Request, service: ScoreService) -> Body:
    """The images of a request's body."""
    kind, limits = media_type(request), service.limits
    try:
        async with asyncio.timeout(limits.reading):
            if kind == FORM:
                return await read_form_files(request, limits)
            data = await request.body()
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {limits.reading:g} seconds.") from None
    if len(data) < LARGE or kind in IMAGES:
        return parse_body(kind, data, limits)
    return await run_in_threadpool(parse_body, kind, data, limits)
