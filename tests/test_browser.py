"""A rendered run and the index page, opened from disk in headless Chromium, wide and narrow."""

import os
import shutil

import pytest
from made_runs import LAST, N_RUNS, SWEPT, make

pytestmark = pytest.mark.browser
WIDTHS = (1280, 400)

BROKEN = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.outerHTML.slice(0, 120))"
UNNAMED = "[...document.images].filter(i => i.alt.trim().length < 10 || /(no|without a) description/i.test(i.alt)).map(i => i.outerHTML.slice(0, 120))"
# What reaches beyond the right edge and cannot be scrolled into view within its own box.
CUT_OFF = """[...document.body.querySelectorAll('*')].filter(e => {
  const box = e.getBoundingClientRect();
  if (!box.width || !box.height || getComputedStyle(e).visibility === 'hidden' || box.right <= document.documentElement.clientWidth + 1) return false;
  for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) if (/auto|scroll/.test(getComputedStyle(p).overflowX)) return false;
  return true;
}).map(e => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def chromium():
    "A running browser, or a skip; with BIOSIG_BROWSER=require a failure."
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        (pytest.fail if os.environ.get("BIOSIG_BROWSER") == "require" else pytest.skip)(
            "no chromium on the PATH (Debian: apt-get install chromium)"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(browser, path, width):
    """Open a file.

    Returns the page and everything that went wrong or over the network while it loaded.
    """
    page, trouble = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on(
        "console",
        lambda m: (
            trouble.append(f"console {m.type}: {m.text}")
            if m.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda e: trouble.append(f"page error: {e}"))
    page.on("requestfailed", lambda r: trouble.append(f"failed: {r.url[:120]}"))
    page.on(
        "request",
        lambda r: (
            trouble.append(f"request: {r.url[:120]}")
            if not r.url.startswith(("file:", "data:", "blob:"))
            else None
        ),
    )
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(
        "Promise.all([document.fonts.ready, ...[...document.images].map(i => i.decode().catch(() => 0))])"
    )
    return page, trouble


def run_page(reports):
    found = list((reports / "runs" / "mitbih_ptb").glob("*/index.html"))
    assert len(found) == 1, f"expected one run page, found {found}"
    return found[0]


PAGES = {"run": run_page, "index": lambda reports: reports / "index.html"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", PAGES)
def test_page_is_whole(which, width, chromium, smoke_site):
    page, trouble = visit(chromium, PAGES[which](smoke_site), width)
    assert not trouble
    assert not page.evaluate(BROKEN), "broken images"
    assert not page.evaluate(UNNAMED), "images without alt text"
    assert (
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        <= 0
    ), f"the page scrolls sideways: {page.evaluate(CUT_OFF)[:5]}"
    assert not page.evaluate(CUT_OFF)[:5], "cut off at the right edge"
    page.close()


def test_run_page_says_simulated_and_verdict(chromium, smoke_site):
    page, _ = visit(chromium, run_page(smoke_site), 1280)
    banner, verdict = page.locator("#simulated-banner"), page.locator("#verdict")
    assert (
        banner.count() == 1 and banner.is_visible() and "simulated" in banner.inner_text().lower()
    )
    assert banner.bounding_box()["y"] < 900, "the banner is seen without scrolling"
    assert verdict.count() == 1 and verdict.is_visible() and verdict.inner_text().strip()
    assert page.evaluate("document.images.length") > 0
    assert page.locator(".jp-CodeCell .jp-InputArea:visible, .highlight:visible").count() == 0, (
        "code is hidden"
    )
    page.close()


def test_index_page_leads_to_the_run(chromium, smoke_site):
    page, _ = visit(chromium, smoke_site / "index.html", 1280)
    links = page.evaluate("[...document.links].map(a => a.href)")
    assert run_page(smoke_site).as_uri() in links
    assert all(link.startswith("file:") for link in links), links
    page.close()


def test_a_bad_page_is_noticed(chromium, tmp_path):
    (tmp_path / "bad.html").write_text(
        "<img src='missing.png'><div style='width:3000px'>wide</div><script>nosuch()</script><img src='http://127.0.0.1:9/x.png' alt='one of many'>"
    )
    page, trouble = visit(chromium, tmp_path / "bad.html", 400)
    assert any("nosuch" in t for t in trouble) and any(
        t.startswith("request: http") for t in trouble
    )
    assert (
        len(page.evaluate(BROKEN)) == 2
        and len(page.evaluate(UNNAMED)) == 1
        and page.evaluate(CUT_OFF)
    )
    page.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    "The index page over a sweep and other runs, made up."
    from biosig_nb.runs.site import build_site

    return build_site(make(tmp_path_factory.mktemp("site") / "runs"))


@pytest.mark.parametrize("width", WIDTHS)
def test_page_of_many_runs_is_whole(width, chromium, many):
    page, trouble = visit(chromium, many, width)
    assert (
        not trouble
        and not page.evaluate(BROKEN)
        and not page.evaluate(UNNAMED)
        and not page.evaluate(CUT_OFF)[:5]
    )
    assert page.locator("figure img").count() == 2 and all(
        page.locator("figure img").nth(i).bounding_box()["height"] > 100 for i in range(2)
    )
    page.close()


def studies(page):
    return page.eval_on_selector_all(
        "#runs tbody tr:not([hidden]) th a", "e => e.map(a => a.textContent)"
    )


def test_table_sorts_with_the_keyboard(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    first = studies(page)
    page.locator("#runs thead button").first.focus()
    page.keyboard.press("Enter")
    assert (
        studies(page) == sorted(first) != first
        and page.locator("#runs th[aria-sort=ascending]").count() == 1
    )
    page.keyboard.press("Enter")
    assert studies(page) == sorted(first, reverse=True)
    # by the primary result: numbers in their order, what has none at the end
    page.locator("#runs thead button").nth(3).click()
    found = [
        float(v) if v else None
        for v in page.eval_on_selector_all(
            "#runs tbody tr", "e => e.map(r => r.cells[3].dataset.sort)"
        )
    ]
    assert found[-2:] == [None, None] and found[:-2] == sorted(found[:-2]) and not trouble
    page.close()


def test_table_filters(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    page.locator("select[data-key=status]").select_option("failed")
    assert studies(page) == [LAST] and page.locator("#shown").inner_text() == f"1 of {N_RUNS} shown"
    page.locator("select[data-key=status]").select_option("")
    page.locator("#find").fill(f"{SWEPT[:6].upper()} quick-22")
    assert studies(page) == [SWEPT] * 3
    page.locator("#find").fill("")
    assert len(studies(page)) == N_RUNS and not trouble
    page.close()


def test_any_metric_is_drawn(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    assert (
        page.locator("#drawn svg polyline").count() == 4
        and page.locator("#drawn svg polygon").count() == 4
    )
    before = page.locator("#drawn-says").inner_text()
    page.locator("#draw-metric").select_option("auprc")
    assert (
        page.locator("#drawn-says").inner_text() != before
        and "0.6" in page.locator("#drawn-says").inner_text()
        and not trouble
    )
    page.close()


def test_without_scripts_nothing_is_lost(chromium, many):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(many.as_uri())
    assert (
        page.locator("#runs tbody tr").count() == N_RUNS
        and not page.locator(".controls").first.is_visible()
        and page.locator("figure img").first.is_visible()
    )
    context.close()
