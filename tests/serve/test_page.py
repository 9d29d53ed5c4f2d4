"""The page in a real browser: typed, dropped, filtered, by keyboard, narrow, dark, in both languages."""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from hr_retrieval.index import indexing
from hr_retrieval.index.corpus import Columns, Corpus
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.store.searcher import Searcher
from tests.resumes.files import LINES, docx_of, pdf_of
from tests.serve.test_app import EVIL, ROWS, guarded

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")
# Where to leave screenshots, for people to look at.
SHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    indexing.make(folder / "index", "tiny", Corpus(str(folder / "v.jsonl"), Columns()), mixing=Composition())
    server = uvicorn.Server(uvicorn.Config(guarded(Searcher(folder / "index"), timeout=600.0), log_level="error"))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driven = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install playwright")
    with driven.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page in a narrow, dark window; whatever it says to others or of errors fails the test."""
    context = browser.new_context(viewport={"width": 400, "height": 900}, color_scheme="dark", locale="en-US")
    context.set_default_timeout(90_000)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on(
        "request",
        lambda request: wrong.append(request.url) if not request.url.startswith((address, "data:", "blob:")) else None,
    )
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on(
        "console",
        lambda message: wrong.append(message.text) if message.type == "error" and "422" not in message.text else None,
    )
    opened.goto(address)
    opened.wait_for_selector("#columns label")
    yield opened
    context.close()
    assert wrong == []


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")


def until(page: Any, expression: str) -> None:
    """Wait; the browser's own way of waiting evaluates text within the page, which the policy forbids."""
    limit = time.monotonic() + 300
    while not page.evaluate(expression):
        assert time.monotonic() < limit, expression
        page.wait_for_timeout(100)


def found(page: Any, count: int) -> None:
    until(page, f"document.querySelectorAll('#hits .hit').length === {count}")


def test_keyboard_alone_searches_filters_and_opens(page: Any) -> None:
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("nurse at place 7")
    page.keyboard.press("Enter")
    found(page, 10)
    assert page.locator("mark").count() >= 10
    assert "Same words: " in page.locator("#hits").text_content()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.column") == "city":
            break
    page.keyboard.press("B")
    until(page, "[...document.querySelectorAll('.facts')].every((one) => one.textContent.includes('Berlin'))")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("details[open] .text")
    shot(page, "narrow-dark")


def test_it_fits_a_phone(page: Any) -> None:
    page.fill("#query", "judge")
    page.keyboard.press("Enter")
    found(page, 10)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("name", "make"), [("cv.pdf", pdf_of), ("резюме.docx", docx_of)])
def test_a_dropped_file_is_searched_with(page: Any, tmp_path: Path, name: str, make: Any) -> None:
    (tmp_path / name).write_bytes(make(LINES))
    if name.endswith("docx"):
        # As a person drops it, anywhere on the page.
        moved = page.evaluate_handle(
            "([bytes, name]) => { const data = new DataTransfer(); data.items.add(new File([new Uint8Array(bytes)], name)); return data; }",
            [list((tmp_path / name).read_bytes()), name],
        )
        page.dispatch_event("body", "drop", {"dataTransfer": moved})
    else:
        page.set_input_files("#file", str(tmp_path / name))
    found(page, 10)
    assert name in page.locator("#status").text_content()


def test_a_scanned_file_is_told_of(page: Any, tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf_of(()))
    page.set_input_files("#file", str(tmp_path / "scan.pdf"))
    page.wait_for_selector("#status.wrong")
    assert "as a scanner makes them" in page.locator("#status").text_content()


def test_nothing_of_a_document_runs(page: Any) -> None:
    page.fill("#query", "judge script")
    page.check("#hybrid")
    page.keyboard.press("Enter")
    page.press("#query", "Enter")
    found(page, 10)
    assert EVIL in page.locator("#hits").text_content()
    assert page.title() == "Find by meaning"
    assert page.locator("#hits img, #hits script").count() == 0


def test_both_languages(page: Any) -> None:
    page.fill("#query", "водитель")
    page.press("#query", "Enter")
    found(page, 10)
    page.click("#language")
    assert page.title() == "Поиск по смыслу"
    assert page.get_attribute("html", "lang") == "ru"
    assert "Весь текст" in page.locator("#hits").text_content()
    page.set_viewport_size({"width": 900, "height": 900})
    page.emulate_media(color_scheme="light")
    shot(page, "wide-light-russian")
    page.locator("#hits button").first.click()
    until(page, "document.getElementById('status').textContent.includes('Похожие на')")
