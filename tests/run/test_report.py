"""The report in a real browser: whole, legible on a phone, in the dark, on paper."""

import base64
import re
import shutil
from pathlib import Path

import chromium
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from qlab.claims import chooser
from qlab.claims.chooser import KINDS
from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.run.report import answers, ledger, methods, page, pictures

PHONE, DESKTOP, PAPER = (360, 740), (1280, 800), (703, 1020)  # A4 less its margins, CSS pixels
MADE = {
    "id": ["int8_quarters", "int2_collapses", "k_widens", "energy"],
    "source": ["report", "report", "report", "article"],
    "place": ["p. 4", "p. 9", "p. 10", "section 2"],
    "statement": ["int8 quarters the file.", "int2 collapses.", "A smaller k widens the gap.", "x"],
    "verdict": ["holds", "does_not_hold", "undecided", "not_tested"],
    "figure": ["0.26 x", "+4.00 points [-10.00, +10.00]", "-0.01 r [-0.03, 0.01]", None],
    "value": [3.83, 0.04, -0.01, None],
    "unit": ["1", "points", "1", None],
    "ci_low": [None, -0.1, -0.03, None],
    "ci_high": [None, 0.1, 0.01, None],
    "n": [1, 2000, 2000, None],
    "smallest_effect": [None, 0.1, 0.02, None],
    "reason": ["a long reason that goes on for a while " * 4] * 4,
    "experiment": ["centernet_ptq", "llama_gptq", "llama_gptq", None],
    "notebook": ["notebooks/01_compress_centernet_with_tflite_ptq.ipynb"] * 4,
    "records": ["data/results/mini/centernet_ptq.csv"] * 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What is committed, and a ledger: the committed one, or, before there is one, a made one."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "data").mkdir()
    (folder / "data" / "results").symlink_to(ROOT / "data" / "results")
    shutil.copytree(ROOT / "figures" / "mini", folder / "figures" / "mini")
    claims = folder / "figures" / "mini" / f"{ledger.FIGURE}.csv"
    if not claims.exists():
        pd.DataFrame(MADE).to_csv(claims, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def report(home) -> Path:
    return page.write("mini", home / "build" / "report" / "report.html")


@pytest.fixture(scope="module")
def browser(report):
    """Headless Chromium, once the report is there."""
    with chromium.opened() as opened:
        yield opened


def show(browser, report: Path, size=DESKTOP, media="screen", scheme="light") -> None:
    """Open the page anew on a screen, or paper, of a size."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.get(report.as_uri())


def test_the_browser_has_nothing_to_complain_of(browser, report):
    browser.get_log("browser")
    show(browser, report)
    assert browser.get_log("browser") == []
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e=>e.name)"
    )
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_every_figure_is_there_and_loaded(browser, report):
    show(browser, report)
    images = browser.execute_script(
        "return [...document.images].map(i => [i.closest('figure').id, i.complete ? i.naturalWidth "
        ": 0, i.width / i.height, i.naturalWidth / i.naturalHeight, i.alt])"
    )
    listed = yaml.safe_load((ROOT / "workflow" / "notebooks.yaml").read_text())
    names = [f"figure-{n}" for entry in listed.values() for n in (entry or {}).get("figures", [])]
    assert [image[0] for image in images] == names and len(names) > 25
    for _, width, ratio, natural, alt in images:
        assert width > 400 and ratio == pytest.approx(natural, rel=0.02) and len(alt) > 20


def test_every_link_leads_somewhere(browser, report):
    show(browser, report)
    links = browser.execute_script(
        "return [...document.links].map(a => [a.getAttribute('href'), a.download, a.href])"
    )
    assert len(links) > 60
    for href, download, full in links:
        if href.startswith("#"):
            assert browser.execute_script("return document.querySelector(arguments[0])", href)
        elif href.startswith("data:"):
            assert download.endswith(".csv")
        else:
            assert full.startswith("file:") and (report.parent / href).resolve().is_file(), href


def test_a_csv_in_the_page_is_the_file(browser, report):
    show(browser, report)
    name = "centernet_pareto.csv"
    script = "return document.querySelector(`a[download='${arguments[0]}']`).href"
    held = base64.b64decode(browser.execute_script(script, name).split(",", 1)[1])
    assert held == (ROOT / "figures" / "mini" / name).read_bytes()


def test_the_answer_is_on_the_first_screen(browser, report):
    show(browser, report)
    script = "return document.getElementById('answer').getBoundingClientRect().bottom"
    assert browser.execute_script(script) <= DESKTOP[1]


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_itself_never_scrolls_sideways(browser, report, size):
    show(browser, report, size)
    width, beyond = browser.execute_script(
        "return [document.documentElement.scrollWidth, [...document.querySelectorAll('main *')]"
        ".filter(e => !e.closest('.box, .card'))"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))]"
    )
    assert width <= size[0] and beyond == []


def test_what_scrolls_can_be_reached_by_keyboard(browser, report):
    show(browser, report, PHONE)
    loose = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth"
        " + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX) && !(e.tabIndex === 0 && "
        "e.getAttribute('role') === 'region' && e.ariaLabel)).length"
    )
    assert loose == 0


CONTRAST = """
const parse = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => {
  const [r, g, b] = parse(c).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor, [, , , alpha = 1] = parse(c);
    if (alpha === 1) return c;
  }
  return "rgb(255, 255, 255)";
};
const found = {};
for (const e of document.querySelectorAll("body *")) {
  const written = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!written || e.tagName === "SCRIPT") continue;
  const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05), name = `${e.tagName}.${e.className}`;
  found[name] = Math.min(found[name] ?? 99, ratio);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_themes(browser, report, scheme):
    """WCAG 2.2, 1.4.3: contrast of at least 4.5 to 1."""
    show(browser, report, scheme=scheme)
    found = browser.execute_script(CONTRAST)
    assert len(found) > 15 and {k: v for k, v in found.items() if v < 4.5} == {}
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    card = browser.execute_script(
        "return getComputedStyle(document.querySelector('.card')).backgroundColor"
    )
    assert card == "rgb(255, 255, 255)" and (paper == card) == (scheme == "light")


def column(table, index: int) -> list[str]:
    script = "return [...arguments[0].tBodies[0].rows].map(r => r.cells[arguments[1]].dataset.sort)"
    return table.parent.execute_script(script, table, index)


def test_tables_sort_by_keyboard_and_say_so(browser, report):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, report)
    tables = browser.find_elements(By.CSS_SELECTOR, "table.sortable")
    assert len(tables) == len(KINDS) + 1
    for index, key in ((1, Keys.ENTER), (3, Keys.SPACE)):  # bytes; time, which has unknowns
        headers = tables[1].find_elements(By.TAG_NAME, "th")
        button = headers[index].find_element(By.TAG_NAME, "button")
        for order in ("ascending", "descending"):
            button.send_keys(key)
            assert headers[index].get_attribute("aria-sort") == order
            assert len(tables[1].find_elements(By.CSS_SELECTOR, "[aria-sort]")) == 1
            shown = column(tables[1], index)
            known = [float(v) for v in shown if v]
            assert known == sorted(known, reverse=order == "descending") and len(known) > 1
            assert shown[len(known):] == [""] * (len(shown) - len(known))  # fmt: skip


def test_sorting_claims_by_verdict_groups_them(browser, report):
    from selenium.webdriver.common.by import By

    show(browser, report)
    table = browser.find_element(By.CSS_SELECTOR, "table.ledger")
    table.find_elements(By.CSS_SELECTOR, "th button")[0].click()
    shown = [cell.text.split(" ", 1)[1] for cell in table.find_elements(By.CLASS_NAME, "verdict")]
    order = list(ledger.SIGNS)
    assert len(shown) >= 4 and shown == sorted(shown, key=order.index)


def test_on_paper_nothing_is_cut(browser, report):
    show(browser, report, PAPER, media="print", scheme="dark")
    wide = browser.execute_script(
        "return [...document.querySelectorAll('table, img, pre')].filter(e => "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 60))"
    )
    assert wide == []
    assert browser.execute_script("return getComputedStyle(document.body).color") == (
        "rgb(27, 27, 27)"
    )
    split = browser.execute_script(
        "return [...document.querySelectorAll('figure, tr')].filter(e => "
        "getComputedStyle(e).breakInside !== 'avoid').length"
    )
    tallest = browser.execute_script(
        "return Math.max(...[...document.querySelectorAll('figure')].map(f => f.offsetHeight))"
    )
    assert split == 0 and tallest < PAPER[1]
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF") and 8 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 60


def test_the_page_is_one_file_of_a_size_to_send(report):
    text = report.read_text(encoding="utf-8")
    assert len(text) < 15e6
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


# What the page says


@pytest.fixture(scope="module")
def found(home):
    return chooser.read_all("mini")


def test_the_answer_follows_the_records(found):
    told = " ".join(answers.headline(found))
    share = chooser.choose(KINDS["detector"], found["detector"], max_loss=0.01).taken["share"]
    assert f"{share:.0%} (detector)" in told
    other = found["detector"].assign(share=lambda t: t["share"].where(t["share"] == 1, 0.77))
    assert "77% (detector)" in " ".join(answers.headline(found | {"detector": other}))


def test_where_nothing_timed_is_faster_it_is_said(found):
    told = "At most one point lost: no language model that was timed is faster than float."
    table = found["language model"]
    fast, slow = (
        table.assign(time_high=table["time_high"].where(table["variant"] != "bnb_int8", ends))
        for ends in (0.4, 1.4)
    )
    said = answers.headline(found | {"language model": slow})
    assert told in said and not any("1 (language model)" in sentence for sentence in said)
    assert told not in answers.headline(found | {"language model": fast})


def test_a_choice_made_twice_is_said_once(found):
    one = found["detector"].query("variant in ('fp32', 'int8_dynamic')")
    assert answers.advice({"detector": one})["detector"][1] == (
        "For at most 5 points of AP lost: the same."
    )


def test_what_is_missing_is_said_and_not_fatal(home, monkeypatch, tmp_path):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    with pytest.raises(QlabError, match="no records of the profile 'mini'"):
        page.render("mini", tmp_path)
    results = tmp_path / "data" / "results" / "mini"
    results.mkdir(parents=True)
    for kind in ("csv", "provenance.json"):
        shutil.copy(ROOT / "data" / "results" / "mini" / f"centernet_ptq.{kind}", results)
    text = page.render("mini", tmp_path)
    assert "no records of llama_gptq in this profile, so nothing is said of the language" in text
    assert "Not drawn yet in this profile: centernet_pareto" in text
    assert "The claims have not been judged in this profile yet" in text


def test_a_ledger_is_counted_and_checked(home, monkeypatch, tmp_path):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    target = paths.figures("mini") / f"{ledger.FIGURE}.csv"
    target.parent.mkdir(parents=True)
    assert ledger.read("mini") is None
    pd.DataFrame(MADE).to_csv(target, index=False)
    table = ledger.read("mini")
    assert ledger.counts(table) == (
        "Of 4 checkable claims of the four sources 1 hold, 1 do not, 1 are undecided and 1 could "
        "not be tested here."
    )
    assert [row["measured"] for row in ledger.rows(table)] == [
        "0.26 x", "+4.00 points [-10.00, +10.00], n = 2,000",
        "-0.01 r [-0.03, 0.01], n = 2,000; smallest effect to be seen: 0.02", "",
    ]  # fmt: skip
    points = table.assign(figure="-1.00 points").iloc[2]
    assert ledger.measured(points).endswith("smallest effect to be seen: 2 points")
    pd.DataFrame(MADE).drop(columns="reason").to_csv(target, index=False)
    with pytest.raises(QlabError, match="lacks the columns reason"):
        ledger.read("mini")
    pd.DataFrame(MADE | {"verdict": ["holds", "holds", "maybe", "holds"]}).to_csv(target)
    with pytest.raises(QlabError, match="found maybe"):
        ledger.read("mini")


def test_a_figure_without_caption_is_refused():
    with pytest.raises(QlabError, match="must give every figure a caption"):
        pictures._chapter(
            "01_compress_centernet_with_tflite_ptq", {"figures": ["centernet_size"]}, "mini", ROOT
        )


def test_machines_are_named_once(home):
    found = methods.experiments("mini", ["centernet_ptq", "resnet_qat"])
    assert [(one["name"], one["profile"]) for one in found] == [
        ("centernet_ptq", "mini"), ("resnet_qat", "mini"), ("resnet_qat", "mini-long"),
    ]  # fmt: skip
    other = found[0] | {"hardware": found[0]["hardware"] | {"cores": 64}}
    assert len(methods.machines([*found, other])) == len(methods.machines(found)) + 1


def test_text_from_files_is_shown_not_run(home, monkeypatch):
    evil = pd.DataFrame(MADE).assign(statement="<script>alert(1)</script>")
    monkeypatch.setattr(ledger, "read", lambda profile: evil.replace("_", " ", regex=True))
    text = page.render("mini", home)
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
