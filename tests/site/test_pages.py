"""The site in a real browser: each page whole, without another host, on a phone, for any reader."""

from urllib.parse import unquote, urldefrag, urljoin

import chromium
import pytest
from axe_core_python.selenium import Axe
from conftest import ROOT, served

pytestmark = pytest.mark.slow
SITE = ROOT / "build" / "site"
NOT_OURS = ("genindex", "search.html")  # the theme's: opened, not judged by axe
# Only the machine itself can be reached, so that a request to another host is an error in the log.
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
LOOK = """return {
  width: document.documentElement.scrollWidth,
  bare: [...document.images].filter(i => !i.alt.trim() || !i.naturalWidth).map(i => i.src),
  links: [...document.links].map(a => a.href),
  ids: [...document.querySelectorAll('[id]')].map(e => e.id),
  loaded: performance.getEntriesByType('resource').map(e => e.name),
}"""
GROUND = "return getComputedStyle(document.body).backgroundColor"
# Of the rules, contrast alone hangs on the theme.
RULES = {"light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "dark": ["color-contrast"]}


@pytest.fixture(scope="module")
def address():
    """The site as a server gives it out; skipped where `make site` has not been run."""
    if not (SITE / "index.html").is_file():
        pytest.skip("There is no build/site: make figures site")
    with served(SITE) as found:
        yield f"{found}/"


@pytest.fixture(scope="module")
def browser(address):
    with chromium.opened(ALONE) as opened:
        yield opened


@pytest.fixture(scope="module")
def seen(address, browser):
    """What every page but pdoc's shows, asks for and links to, at the width of a phone."""
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    pages = {}
    for file in sorted(SITE.rglob("*.html")):
        name = file.relative_to(SITE).as_posix()
        if "_static" not in name and not name.startswith("api/"):
            browser.get(address + name)
            errors = [e["message"] for e in browser.get_log("browser") if e["level"] != "INFO"]
            pages[name] = browser.execute_script(LOOK) | {"errors": errors}
    return pages


def test_every_page_is_whole_and_asks_no_other_host(seen, address):
    assert len(seen) > 30
    for name, page in seen.items():
        assert page["errors"] == [], name
        assert page["bare"] == [], name
        assert [u for u in page["loaded"] if not u.startswith((address, "data:"))] == [], name
        assert page["width"] <= 360, name


def test_every_link_of_the_site_leads_somewhere(seen, address):
    for name, page in seen.items():
        for link in page["links"]:
            target, anchor = urldefrag(urljoin(address + name, link))
            if target.startswith(address):
                place = unquote(target.removeprefix(address)) or "index.html"
                assert (SITE / place).exists(), f"{name}: {link}"
                if anchor and place in seen:
                    assert unquote(anchor) in seen[place]["ids"], f"{name}: {link}"


def test_axe_finds_nothing(seen, address, browser):
    """WCAG 2.1 A and AA, contrast among them, in both themes."""
    found, colours = {}, set()
    for name in (name for name in seen if not name.startswith(NOT_OURS)):
        browser.get(address + name)
        for theme, rules in RULES.items():
            feature = {"name": "prefers-color-scheme", "value": theme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            colours.add(browser.execute_script(GROUND))
            told = Axe().run(browser, options={"runOnly": rules, "resultTypes": ["violations"]})
            if told["violations"]:
                found[name, theme] = told["violations"]
    assert found == {} and len(colours) == 2


def test_a_table_sorts_and_filters(address, browser):
    browser.get(address + "chooser.html")
    script = browser.execute_script
    shown = "return [...document.querySelectorAll('.sheet tbody tr:not([hidden])')]"
    script("""const field = document.querySelector('.filter input');
      field.value = 'small detector'; field.dispatchEvent(new Event('input'));""")
    sizes = f"{shown}.map(r => Number(r.cells[3].dataset.sort))"
    assert 5 < len(script(sizes)) < 20
    header = "document.querySelectorAll('.sheet th button')[3]"
    script(f"{header}.click()")
    assert script(sizes) == sorted(script(sizes))
    script(f"{header}.click()")
    assert script(sizes) == sorted(script(sizes), reverse=True)
