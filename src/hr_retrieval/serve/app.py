"""The application: the page, and the API that the page and others ask."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

import hr_retrieval
from hr_retrieval.errors import UserError
from hr_retrieval.resumes.resume import Limits, resume_text
from hr_retrieval.serve.batching import Batcher, BusyError
from hr_retrieval.serve.docs import add_docs
from hr_retrieval.serve.guards import Guarded, Guards, answer
from hr_retrieval.serve.measures import Measured, Measures
from hr_retrieval.serve.requests import (
    Column,
    EmbedAnswer,
    EmbedRequest,
    Health,
    HitAnswer,
    Options,
    SearchAnswer,
    SearchRequest,
    SimilarRequest,
)
from hr_retrieval.store.filters import conditions
from hr_retrieval.store.found import Hit
from hr_retrieval.store.searcher import LONGEST, Asked, Searcher, check_query

# Files that are read at a time, each in a process of its own.
_READERS = 2
_PAGE = {"page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}

Job = Callable[[], list[Hit]] | tuple[str, Asked]


def application(searcher: Searcher, guards: Guards, upload_pages: int, batch: int) -> Guarded:
    """The application over an opened index.

    Args:
        guards: what each request is held against.
        upload_pages: of a PDF.
        batch: queries that are encoded together at most.
    """
    app = FastAPI(
        title="hr_retrieval", version=hr_retrieval.__version__, docs_url=None, redoc_url=None,
        description="Documents for a query or a résumé, ranked by meaning.",
    )  # fmt: skip
    measures = Measures()
    columns = [Column(**own) for own in searcher.columns()]

    def work(jobs: Sequence[Job]) -> list[list[Hit] | UserError]:
        """Queries together; any other job by itself. What is wrong with one is no fault of the others."""
        queries = [job for job in jobs if isinstance(job, tuple)]
        measures.batches.observe(max(1, len(queries)))
        found = iter(searcher.search_each(queries))
        return [next(found) if isinstance(job, tuple) else _tried(job) for job in jobs]

    batcher: Batcher[Job, list[Hit] | UserError] = Batcher(work, batch)
    readers = ThreadPoolExecutor(_READERS, "read")
    limits = Limits(size=guards.upload, pages=upload_pages, letters=LONGEST)

    async def hits_of(job: Job) -> list[HitAnswer]:
        found = await batcher.ask(job)
        if isinstance(found, UserError):
            raise found
        return [HitAnswer.of(hit) for hit in found]

    async def search_for(text: str, options: Options) -> list[HitAnswer]:
        check_query(text)
        asked = options.asked()
        conditions(asked.filters, searcher.manifest.metadata)
        return await hits_of((text, asked))

    @app.post("/search", summary="Documents for a query")
    async def search(request: SearchRequest) -> SearchAnswer:
        return SearchAnswer(hits=await search_for(request.query, request), exact=searcher.exact)

    @app.post(
        "/resume",
        summary="Documents for a file: PDF, DOCX or plain text, as the body",
        description="The options of `/search` go into the header `X-Options`, as JSON. The file is read in memory "
        "by a process of its own, and is not kept.",
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
    )
    async def resume(request: Request) -> SearchAnswer:
        try:
            options = Options.model_validate_json(request.headers.get("x-options", "{}"))
        except ValidationError as error:
            raise RequestValidationError(
                [{**one, "loc": ("header", "X-Options", *one["loc"])} for one in error.errors()]
            ) from None
        content = await request.body()
        text = await asyncio.get_running_loop().run_in_executor(readers, resume_text, content, limits)
        return SearchAnswer(hits=await search_for(text, options), exact=searcher.exact, read=text)

    @app.post("/similar", summary="Documents like one of the index")
    async def similar(request: SimilarRequest) -> SearchAnswer:
        job = partial(searcher.similar, request.document, request.asked())
        return SearchAnswer(hits=await hits_of(job), exact=searcher.exact)

    @app.post("/embed", summary="Embeddings of texts")
    async def embed(request: EmbedRequest) -> EmbedAnswer:
        for text in request.texts:
            check_query(text)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(batcher.thread, searcher.embed, request.texts, request.kind)
        return EmbedAnswer(embeddings=found.tolist())

    @app.get("/health", summary="Whether the service lives, and on what")
    async def health() -> Health:
        manifest = searcher.manifest
        return Health(
            documents=manifest.documents, passages=manifest.passages, exact=searcher.exact,
            encoder=manifest.fingerprint, filters=columns,
        )  # fmt: skip

    @app.get("/metrics", summary="Counts and times for Prometheus")
    async def metrics() -> Response:
        return Response(measures.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(_part("page.html"))

    for name, kind in _PAGE.items():
        app.get(f"/{name}", include_in_schema=False)(partial(_sent, _part(name), kind))
    add_docs(app)

    @app.exception_handler(UserError)
    async def told(request: Request, error: UserError) -> Response:
        return answer(422, error.expected, error.got, error.remedy)

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> Response:
        return answer(503, "fewer queries at a time", "too many", "Try again in a moment.")

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return answer(422, f"{where} as /docs says", str(first["msg"])[:200], "Mend the request.")

    return Guarded(Measured(app, measures), guards)


def _tried(job: Callable[[], list[Hit]]) -> list[Hit] | UserError:
    try:
        return job()
    except UserError as error:
        return error


def _part(name: str) -> str:
    return (files("hr_retrieval.serve") / "page" / name).read_text(encoding="utf-8")


async def _sent(content: str, kind: str) -> Response:
    return Response(content, media_type=kind)
