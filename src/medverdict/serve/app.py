"""A loaded run as an HTTP application: POST /verify, GET /health, GET /model, a page, and a page about the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

import medverdict
from medverdict.errors import NOT_ADVICE, DataError, without_mark
from medverdict.evaluate.calibrate import judge
from medverdict.predict.answer import checked, from_margins
from medverdict.predict.load import LoadedRun
from medverdict.predict.score import score_margins
from medverdict.serve.batcher import Batcher
from medverdict.serve.gate import Application, Gate
from medverdict.serve.limits import Limits, RefusedError
from medverdict.serve.messages import Answers, Health, ModelFacts, Question, Refusal
from medverdict.serve.pages import api_page, claims_page

BATCH = {"cpu": 8, "cuda": 256}
"""Claims the model is given at once: what a newcomer waits for at most."""
_THREADS_FOR_MORE = 4
_WHY = {
    408: "The body came too slowly",
    413: "The body is too large",
    422: "No claim, too many, too long, or none that can be judged",
    429: "Too many requests or claims wait",
    503: "It took too long, or the server is stopping",
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": why} for status, why in _WHY.items()
}


def make_app(loaded: LoadedRun, limits: Limits) -> Application:
    """The application, whose model thread runs from now until the application is shut down."""
    batcher = Batcher(partial(score_margins, loaded.verifier), limits, BATCH[loaded.verifier.placement.device.type])

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = limits.requests + _THREADS_FOR_MORE
        yield
        await anyio.to_thread.run_sync(batcher.close)

    app = FastAPI(
        title="medverdict",
        version=medverdict.__version__,
        description=NOT_ADVICE,
        docs_url=None,  # it loads scripts from a content network
        redoc_url=None,
        lifespan=life,
    )
    _add_api(app, loaded, limits, batcher)
    _add_pages(app, ModelFacts.of(loaded, limits))
    _add_refusals(app)
    return Gate(app, limits)


def _add_api(app: FastAPI, loaded: LoadedRun, limits: Limits, batcher: Batcher) -> None:
    facts = ModelFacts.of(loaded, limits)

    @app.post("/verify", responses=_REFUSALS, summary="Judge one claim or several")
    def verify(question: Question) -> Answers:
        texts = texts_of(loaded, question, limits)
        margins = batcher.ask(texts)
        try:
            answers = from_margins(texts, margins, loaded.run.calibration, question.abstain)
        except DataError as error:  # nothing that the asker did: a margin is not a number
            raise RefusedError(500, str(error)) from None
        return Answers(answers=tuple(answers), run=loaded.run.id)

    @app.get("/health", responses={503: {"model": Health}}, summary="Whether claims are judged now")
    async def health(response: Response) -> Health:
        response.status_code = 200 if batcher.alive else 503
        return Health(status="ok" if batcher.alive else "stopping", waiting=batcher.waiting)

    @app.get("/model", summary="Which model answers, how it is asked, and the limits")
    async def model() -> ModelFacts:
        return facts


def texts_of(loaded: LoadedRun, question: Question, limits: Limits) -> list[str]:
    """The claims as the model reads them. Raises RefusedError (422) naming the first that cannot be judged."""
    try:
        judge([], loaded.run.calibration, question.abstain)  # refuses abstention where the run has no point for it
    except DataError as error:
        raise RefusedError(422, str(error)) from None
    if len(question.texts) > limits.claims:
        raise RefusedError(422, f"{len(question.texts)} claims; at most {limits.claims} a request.")
    texts = []
    for number, claim in enumerate(question.texts, start=1):
        if len(claim) > limits.characters:
            raise RefusedError(422, f"claim {number}: {len(claim)} characters; at most {limits.characters}.")
        try:
            texts.append(checked(loaded, claim))
        except DataError as error:
            raise RefusedError(422, f"claim {number}: {error}") from None
    return texts


def _add_pages(app: FastAPI, facts: ModelFacts) -> None:
    for path, page in (("/", claims_page(facts)), ("/docs", api_page(app.version))):
        app.add_api_route(path, _fixed(page.html, page.headers), include_in_schema=False, response_class=HTMLResponse)


def _fixed(html: str, headers: dict[str, str]) -> Any:
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    return page


def _add_refusals(app: FastAPI) -> None:
    """Every refusal has the same form: its status, and a reason."""

    def refuse(status: int, reason: str) -> JSONResponse:
        headers = {"retry-after": "1"} if status in (429, 503) else None
        return JSONResponse({"reason": reason}, status, headers)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return refuse(error.status, error.reason)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        fault = error.errors()[0]
        where = " ".join(map(str, fault["loc"]))
        return refuse(422, f'{where}: {without_mark(fault["msg"])}. Expected JSON such as {{"claims": ["…", "…"]}}.')

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> JSONResponse:
        return refuse(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return refuse(500, "the server failed; its log says where.")
