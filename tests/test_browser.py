"""A rendered run and the index page, opened from disk in headless Chromium, wide and narrow."""

import importlib.util
import os
import re
import shutil
import socket
from pathlib import Path

import nbformat
import pytest
from made_runs import LAST, N_RUNS, SWEPT, make

from biosig_nb.runs.render import render_html
from biosig_nb.runs.site import build_site

pytestmark = pytest.mark.browser
WIDTHS = (1280, 400)

BROKEN = """[...document.images].filter(i => !i.complete || !i.naturalWidth)
  .map(i => i.outerHTML.slice(0, 120))"""
UNNAMED = """[...document.images]
  .filter(i => i.alt.trim().length < 10 || /(no|without a) description/i.test(i.alt))
  .map(i => i.outerHTML.slice(0, 120))"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LOADED = """Promise.all([document.fonts.ready,
  ...[...document.images].map(i => i.decode().catch(() => 0))])"""
# What reaches beyond the right edge and cannot be scrolled into view within its own box.
CUT_OFF = """[...document.body.querySelectorAll('*')].filter(e => {
  const box = e.getBoundingClientRect();
  const hidden = !box.width || !box.height || getComputedStyle(e).visibility === 'hidden';
  if (hidden || box.right <= document.documentElement.clientWidth + 1) return false;
  for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (/auto|scroll/.test(getComputedStyle(p).overflowX)) return false;
  return true;
}).map(e => e.outerHTML.slice(0, 120))"""
SORT_KEYS = "e => e.map(row => row.cells[3].dataset.sort)"


@pytest.fixture(scope="module")
def chromium():
    "A running browser, or a skip; with BIOSIG_BROWSER=require a failure."
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        required = os.environ.get("BIOSIG_BROWSER") == "require"
        absent = pytest.fail if required else pytest.skip
        absent("no chromium on the PATH (Debian: apt-get install chromium)")
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

    def on_console(message):
        if message.type in ("error", "warning"):
            trouble.append(f"console {message.type}: {message.text}")

    def on_request(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            trouble.append(f"request: {request.url[:120]}")

    page.on("console", on_console)
    page.on("pageerror", lambda e: trouble.append(f"page error: {e}"))
    page.on("requestfailed", lambda r: trouble.append(f"failed: {r.url[:120]}"))
    page.on("request", on_request)
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(LOADED)
    return page, trouble


def check_whole(page, trouble):
    "Nothing broken, unnamed or cut off, and no scrolling to the right."
    assert not trouble
    assert not page.evaluate(BROKEN), "broken images"
    assert not page.evaluate(UNNAMED), "images without alt text"
    cut_off = page.evaluate(CUT_OFF)[:5]
    assert page.evaluate(SIDEWAYS) <= 0, f"the page scrolls sideways: {cut_off}"
    assert not cut_off, "cut off at the right edge"


def run_page(reports):
    found = list((reports / "runs" / "mitbih_ptb").glob("*/index.html"))
    assert len(found) == 1, f"expected one run page, found {found}"
    return found[0]


PAGES = {"run": run_page, "index": lambda reports: reports / "index.html"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", PAGES)
def test_page_is_whole(which, width, chromium, smoke_site):
    page, trouble = visit(chromium, PAGES[which](smoke_site), width)
    check_whole(page, trouble)
    page.close()


def test_run_page_says_simulated_and_verdict(chromium, smoke_site):
    page, _ = visit(chromium, run_page(smoke_site), 1280)
    banner, verdict = page.locator("#simulated-banner"), page.locator("#verdict")
    assert banner.count() == 1
    assert banner.is_visible()
    assert "simulated" in banner.inner_text().lower()
    assert banner.bounding_box()["y"] < 900, "the banner is seen without scrolling"
    assert verdict.count() == 1
    assert verdict.is_visible()
    assert verdict.inner_text().strip()
    assert page.evaluate("document.images.length") > 0
    code = page.locator(".jp-CodeCell .jp-InputArea:visible, .highlight:visible")
    assert code.count() == 0, "code is hidden"
    page.close()


def test_index_page_leads_to_the_run(chromium, smoke_site):
    page, _ = visit(chromium, smoke_site / "index.html", 1280)
    links = page.evaluate("[...document.links].map(a => a.href)")
    assert run_page(smoke_site).as_uri() in links
    assert all(link.startswith("file:") for link in links), links
    page.close()


def test_a_bad_page_is_noticed(chromium, tmp_path):
    image = "<img src='http://127.0.0.1:9/x.png' alt='one of many'>"
    wide = "<img src='missing.png'><div style='width:3000px'>wide</div>"
    (tmp_path / "bad.html").write_text(f"{wide}<script>nosuch()</script>{image}")
    page, trouble = visit(chromium, tmp_path / "bad.html", 400)
    assert any("nosuch" in t for t in trouble)
    assert any(t.startswith("request: http") for t in trouble)
    assert len(page.evaluate(BROKEN)) == 2
    assert len(page.evaluate(UNNAMED)) == 1
    assert page.evaluate(CUT_OFF)
    page.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    "The index page over a simulated sweep and other runs."
    return build_site(make(tmp_path_factory.mktemp("site") / "runs"))


@pytest.mark.parametrize("width", WIDTHS)
def test_page_of_many_runs_is_whole(width, chromium, many):
    page, trouble = visit(chromium, many, width)
    check_whole(page, trouble)
    pictures = page.locator("figure img")
    # the gains of a metric each; level and paired gain of the sweep, and its other metric
    assert pictures.count() == 5
    for i in range(2):
        assert pictures.nth(i).bounding_box()["height"] > 100
    page.close()


def studies(page):
    "Studies of the visible rows."
    links = "#runs tbody tr:not([hidden]) th a"
    return page.eval_on_selector_all(links, "e => e.map(a => a.textContent)")


def test_table_sorts_with_the_keyboard(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    first = studies(page)
    page.locator("#runs thead button").first.focus()
    page.keyboard.press("Enter")
    assert studies(page) == sorted(first)
    assert studies(page) != first
    assert page.locator("#runs th[aria-sort=ascending]").count() == 1
    page.keyboard.press("Enter")
    assert studies(page) == sorted(first, reverse=True)
    # by the primary result: numbers in their order, rows without one at the end
    page.locator("#runs thead button").nth(3).click()
    keys = page.eval_on_selector_all("#runs tbody tr", SORT_KEYS)
    numbers = [float(key) for key in keys[:-2]]
    assert keys[-2:] == ["", ""]
    assert numbers == sorted(numbers)
    assert not trouble
    page.close()


def test_table_filters(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    page.locator("select[data-key=status]").select_option("failed")
    assert studies(page) == [LAST]
    assert page.locator("#shown").inner_text() == f"1 of {N_RUNS} shown"
    page.locator("select[data-key=status]").select_option("")
    page.locator("#find").fill(f"{SWEPT[:6].upper()} quick-22")
    assert studies(page) == [SWEPT] * 3
    page.locator("#find").fill("")
    assert len(studies(page)) == N_RUNS
    assert not trouble
    page.close()


def test_any_metric_is_shown(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    folded = page.locator("details:has-text('other metrics') img").first
    assert not folded.is_visible()
    page.locator("summary:has-text('other metrics')").click()
    assert folded.is_visible()
    assert "AUPRC" in folded.get_attribute("alt")
    assert "0.6" in folded.get_attribute("alt")
    assert not trouble
    page.close()


def test_a_link_chooses_the_runs_of_a_study(chromium, many):
    page, trouble = visit(chromium, many, 1280)
    page.goto(f"{many.as_uri()}#study={SWEPT}")
    assert set(studies(page)) == {SWEPT}
    assert not trouble
    page.close()


def test_a_thousand_runs_are_paged(chromium, many, tmp_path):
    "Fifty rows are shown; the filter looks at all of them."
    html = many.read_text()
    row = next(r for r in re.findall(r"<tr data-study=.*?</tr>", html, re.S) if "quick-failed" in r)
    copies = "".join(row.replace("quick-failed", f"quick-copy{k}") for k in range(1000))
    (tmp_path / "index.html").write_text(html.replace(row, copies, 1))
    page, trouble = visit(chromium, tmp_path / "index.html", 1280)
    assert len(studies(page)) == 50
    page.locator("#more").click()
    assert len(studies(page)) == 100
    page.locator("#find").fill("copy987")
    assert len(studies(page)) == 1
    assert not page.locator("#more").is_visible()
    assert not trouble
    page.close()


def axe_script():
    "axe-core, as a package of the extras `dev` brings it along; a skip without it."
    found = importlib.util.find_spec("axe_playwright_python")
    if not found:
        required = os.environ.get("BIOSIG_BROWSER") == "require"
        absent = pytest.fail if required else pytest.skip
        absent("axe-playwright-python is not installed (extras: dev)")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", PAGES)
def test_axe_finds_nothing(which, scheme, chromium, smoke_site):
    "Contrast, names, roles and structure, with every section open."
    script = axe_script()
    page, _ = visit(chromium, PAGES[which](smoke_site), 1280)
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.evaluate(script)
    found = page.evaluate("axe.run().then(r => r.violations)")
    assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found]
    page.close()


STOPS = """name => {
  const target = document.querySelector(name);
  const stops = document.querySelectorAll('a[href], button, input, select, summary, [tabindex]');
  const before = stop => stop.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_FOLLOWING;
  return [...stops].filter(before).length;
}"""
CONTENT = {"run": "#verdict", "index": "#studies tbody"}


@pytest.mark.parametrize("which", PAGES)
def test_few_stops_before_the_content(which, chromium, smoke_site):
    page, _ = visit(chromium, PAGES[which](smoke_site), 1280)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate(STOPS, CONTENT[which]) < 20
    page.close()


def test_without_scripts_nothing_is_lost(chromium, many):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(many.as_uri())
    assert page.locator("#runs tbody tr").count() == N_RUNS
    assert not page.locator(".controls").first.is_visible()
    assert page.locator("figure img").first.is_visible()
    context.close()


# What a page would run if a value were not escaped.
TAKE = "document.title = 'taken'"
INJECTED = {
    "script": f"<script>{TAKE}</script>",
    "handler": f'<img id="click" src="data:," alt="a broken image" onerror="{TAKE}">',
    "link": f'<a id="click" href="javascript:{TAKE}">here</a>',
    "frame": f'<iframe srcdoc="<script>parent.{TAKE}</script>"></iframe>',
    "form": f'<form action="javascript:{TAKE}"><button id="click">send</button></form>',
}


def never_taken(page, title):
    "A script in a value did not run."
    if page.locator("#click").count():
        page.locator("#click").first.click(timeout=2000)
    page.wait_for_timeout(100)
    assert page.title() == title


def injected_page(html, folder):
    "A run's page in which Markdown and HTML hold something that was not escaped."
    outputs = [
        nbformat.v4.new_output("display_data", {kind: html})
        for kind in ("text/markdown", "text/html")
    ]
    cells = [nbformat.v4.new_code_cell(outputs=outputs), nbformat.v4.new_markdown_cell(html)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebook.ipynb")
    return render_html(folder / "notebook.ipynb", folder / "page.html", "A run", {})


@pytest.mark.parametrize("which", INJECTED)
def test_no_script_runs_on_a_run_page(which, chromium, tmp_path):
    page, _ = visit(chromium, injected_page(INJECTED[which], tmp_path), 1280)
    never_taken(page, "A run")
    page.close()


@pytest.mark.parametrize("which", ["script", "handler", "link"])
def test_the_policy_is_what_stops_them(which, chromium, tmp_path):
    html = injected_page(INJECTED[which], tmp_path)
    html.write_text(html.read_text().replace("Content-Security-Policy", "x-nothing"))
    page, _ = visit(chromium, html, 1280)
    with pytest.raises(AssertionError, match="A run"):
        never_taken(page, "A run")
    page.close()


def test_nothing_is_loaded_from_elsewhere(chromium, tmp_path):
    "No connection is made, not even for a picture."
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        image = f"<img src='http://127.0.0.1:{server.getsockname()[1]}/x.png' alt='a picture'>"
        page, trouble = visit(chromium, injected_page(image, tmp_path), 1280)
        with pytest.raises(TimeoutError):
            server.accept()
    assert any("Content Security Policy" in t for t in trouble)
    page.close()


@pytest.mark.parametrize("which", INJECTED)
def test_only_its_own_script_runs_on_the_index_page(which, chromium, many, tmp_path):
    html = many.read_text()
    index = tmp_path / "index.html"
    index.write_text(html.replace("<h1>", INJECTED[which] + "<h1>"))
    page, _ = visit(chromium, index, 1280)
    never_taken(page, "biosig_nb: runs")
    # the page's own script did run
    assert page.locator("html.scripted").count() == 1
    assert page.locator("#runs thead button").count() == 8
    page.close()


def test_a_changed_script_of_the_index_page_does_not_run(chromium, many, tmp_path):
    index = tmp_path / "index.html"
    index.write_text(many.read_text().replace("'scripted'", "'altered'"))
    page, trouble = visit(chromium, index, 1280)
    assert page.locator("html.altered, html.scripted").count() == 0
    assert any("Content Security Policy" in t for t in trouble)
    page.close()
