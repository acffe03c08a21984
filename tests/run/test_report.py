"""The report in a real browser: whole, without the internet, on a phone and on paper."""

import base64
import shutil

import chromium
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from qlab.claims import chooser
from qlab.core.errors import QlabError
from qlab.run import site


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return site.write("mini", tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser(report):
    """The page in a browser that has shown nothing before."""
    with chromium.opened() as opened:
        opened.get(report.as_uri())
        yield opened


def test_it_loads_nothing_and_every_figure_is_there(browser):
    script = browser.execute_script
    assert browser.get_log("browser") == []
    loaded = script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    told = "[i.closest('figure').id, i.alt, i.naturalWidth]"
    images = script(f"return [...document.images].map(i => {told})")
    listed = yaml.safe_load((ROOT / "workflow" / "notebooks.yaml").read_text())
    captions = {k: v for entry in listed.values() for k, v in entry.get("figures", {}).items()}
    assert [image[:2] for image in images] == [[f"figure-{k}", v] for k, v in captions.items()]
    assert all(width > 400 for *_, width in images)


def test_every_link_leads_somewhere_and_a_csv_is_the_file(browser, report):
    script = browser.execute_script
    links = script("return [...document.links].map(a => [a.getAttribute('href'), a.download])")
    held = {download: href for href, download in links if href.startswith("data:")}
    assert len(links) > 60 and all(name.endswith(".csv") for name in held)
    for href in (href for href, _ in links if not href.startswith("data:")):
        if href.startswith("#"):
            assert script("return document.querySelector(arguments[0])", href)
        else:
            assert (report.parent / href).resolve().is_file(), href
    file = ROOT / "figures" / "mini" / "centernet_pareto.csv"
    assert base64.b64decode(held[file.name].split(",", 1)[1]) == file.read_bytes()


@pytest.mark.parametrize(
    "width, height, media",
    [(360, 740, "screen"), (1280, 800, "screen"), (703, 1020, "print")],  # A4 less its margins
)
def test_nothing_is_cut_off(browser, report, width, height, media):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width == 360}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
    browser.get(report.as_uri())
    script = browser.execute_script
    assert script("return document.documentElement.scrollWidth") <= width
    heights = script("return [...document.querySelectorAll('figure')].map(f => f.offsetHeight)")
    assert media == "screen" or max(heights) <= height


def test_the_answer_follows_the_records():
    found = chooser.read_all("mini")
    share = chooser.choose(found["detector"], max_loss=0.01, prefer="size")["share"].iloc[0]
    assert f"{share:.0%} (detector)" in " ".join(site.headline(found))
    slow = {k: t.assign(time_high=9.0).query("variant != 'fp16'") for k, t in found.items()}
    assert "no detector that was timed is faster" in " ".join(site.headline(slow))


def test_what_is_missing_is_said_and_what_is_written_is_shown_not_run(empty_home):
    with pytest.raises(QlabError, match="no records of the profile 'mini'"):
        site.render("mini", empty_home)
    results, figures = (empty_home / p / "mini" for p in ("data/results", "figures"))
    results.mkdir(parents=True)
    for kind in ("csv", "provenance.json"):
        shutil.copy(ROOT / "data" / "results" / "mini" / f"centernet_ptq.{kind}", results)
    text = site.render("mini", empty_home)
    assert "no records of llama_gptq in this profile, so nothing is said of the language" in text
    assert "Not drawn yet in this profile: centernet_pareto" in text
    assert "The claims have not been judged in this profile yet" in text
    figures.mkdir(parents=True)
    ledger = pd.read_csv(ROOT / "figures" / "mini" / site.LEDGER)
    ledger.assign(statement="<script>alert(1)").to_csv(figures / site.LEDGER, index=False)
    text = site.render("mini", empty_home)
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    n = ledger["verdict"].value_counts()
    assert f"Of {len(ledger)} checkable claims of the four sources {n['holds']} hold of" in text
