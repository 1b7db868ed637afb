"""The page of results: what is on it, and how it behaves in a real browser."""

import json
import re
import shutil

import pytest

from experiments.cli import main
from experiments.evaluation.result import read_result
from experiments.report.page.curves import read_curves, shorten
from experiments.report.page.gallery import embed_pictures, find_pictures
from experiments.report.page.grids import grid_of_tests, grids_of_methods, sort_names
from experiments.report.page.plots import Point, draw_points
from experiments.report.page.sheet import find_best_rows, sheet
from experiments.report.page.write import write_results_page
from experiments.report.results import results, summarise_seeds
from experiments.runs.folder import RunFolder
from experiments.runs.run import run_folders
from tests.experiments.test_cli import SMALL, run

HOSTILE = "<img src=x onerror=\"document.title='owned'\">&"


@pytest.fixture(scope="module")
def runs(tree, tmp_path_factory):
    """A real run with baselines, another test set and its cost, beside a table of one hand-written row."""
    runs = tmp_path_factory.mktemp("page") / "runs"
    folder = runs / "demo" / "segmentation" / "seed0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        run("fit", tree, folder, "--trainer.log_every_n_steps=2")
        run("test", tree, folder, "--trainer.log_every_n_steps=2")
        run("test", tree, folder, "--name=fewer", "--data.init_args.eval_frames_per_clip=1")
        run("baselines", tree, folder)
        files = ["-c", "experiments/tables/base.yaml", "-c", "experiments/tables/demo/classification.yaml"]
        here = [f"--data.init_args.root={tree}", f"--trainer.default_root_dir={runs / 'demo/classification/seed0'}"]
        for command in ("fit", "test"):
            main([command, *files, *here, *(option for option in SMALL if "decoder" not in option)])
    main(["cost", "demo/segmentation", "--repeats", "1", "--out", str(runs / "cost.csv")])
    hand = runs / f"own {HOSTILE}" / f"row {HOSTILE}" / "seed0"
    hand.mkdir(parents=True)
    (hand / "metrics.json").write_text(json.dumps({"test/frame_auroc": 0.75, "test/pixel_iou_balanced": None}))
    main(["collect", str(runs)])
    return runs


@pytest.fixture(scope="module")
def html(runs):
    return (runs / "index.html").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("no chromium with its driver here: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-background-networking", "disable-component-update", "window-size=1280,900"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, runs):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get((runs / "index.html").as_uri())
    return browser


def test_it_loads_from_a_file_without_a_word_and_asks_for_nothing_else(opened, runs):
    opened.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    assert opened.execute_async_script(
        "const done = arguments[0]; const all = [...document.images];"
        "all.forEach((image) => { image.loading = 'eager' });"
        "Promise.all(all.map((image) => image.decode())).then(() => done(all.length), (error) => done(String(error)))"
    ) == len(re.findall("<img", (runs / "index.html").read_text()))
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {(runs / "index.html").as_uri()}


def column(browser, place):
    """Values of a column of the first table; of its metrics, the first is the third column."""
    script = "return [...document.querySelector('table.sortable').tBodies[0].rows]"
    return browser.execute_script(f"{script}.map((row) => row.cells[arguments[0]].dataset.value)", place)


def test_a_column_is_sorted_by_click_and_by_key(opened):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    heads = opened.find_element(By.CSS_SELECTOR, "table.sortable").find_elements(By.CSS_SELECTOR, "th[aria-sort]")
    names = [head.text.rstrip(" ↕↑↓") for head in heads]
    order = {name: head.get_attribute("aria-sort") for name, head in zip(names, heads, strict=True)}
    assert {name for name, by in order.items() if by != "none"} == {"frame AUROC"}  # what every trained row has
    assert order["frame AUROC"] == "descending"
    aurocs = list(map(float, column(opened, names.index("frame AUROC"))))
    assert aurocs == sorted(aurocs, reverse=True)

    place = names.index("IoU balanced")
    button = heads[place].find_element(By.TAG_NAME, "button")
    for by in ("descending", "ascending"):
        button.click()
        sorted_by = {name: head.get_attribute("aria-sort") for name, head in zip(names, heads, strict=True)}
        assert sorted_by == dict.fromkeys(names, "none") | {"IoU balanced": by}
        shown = column(opened, place)
        metrics = [float(value) for value in shown if value]
        assert metrics == sorted(metrics, reverse=by == "descending")
        assert len(set(metrics)) > 3
        assert shown[len(metrics) :] == [""] * 4  # what is not there stays below

    button = heads[0].find_element(By.TAG_NAME, "button")
    button.send_keys(Keys.ENTER)
    rows = column(opened, 0)
    assert rows == sorted(rows)
    assert "segmentation" in rows
    button.send_keys(Keys.SPACE)
    assert column(opened, 0) == rows[::-1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways_and_in_its_colours(opened, scheme):
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    preferred = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
    opened.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    assert opened.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    wide = "return [...document.querySelectorAll('.box')].filter((box) => box.scrollWidth > box.clientWidth).length"
    assert opened.execute_script(wide) > 0  # tables scroll inside their box
    colours = opened.execute_script(
        "const of = (e, what) => getComputedStyle(e)[what].match(/[0-9]+/g).map(Number);"
        "const text = document.querySelector('.plots svg text');"
        "return [of(document.body, 'backgroundColor'), of(document.body, 'color'), of(text, 'fill')]"
    )
    paper, ink, plotted = (sum(colour[:3]) / 3 for colour in colours)
    assert (paper > ink) == (scheme == "light")
    assert abs(paper - ink) > 150
    assert plotted == ink


def test_names_are_shown_and_never_run(opened, html):
    assert opened.title.startswith("Results of")
    headings = opened.execute_script("return [...document.querySelectorAll('h2')].map((h) => h.textContent)")
    assert f"own {HOSTILE}" in headings
    assert "<img src=x" not in html


def test_who_cannot_see_it_is_told_what_is_there(opened):
    missing = """
    const lacking = (query, has) => [...document.querySelectorAll(query)].filter((e) => !has(e)).length;
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    return [lacking('table', (e) => e.caption?.textContent), lacking('img', (e) => e.alt.length > 10),
            lacking('figure > svg', (e) => e.getAttribute('role') === 'img' && e.ariaLabel),
            lacking('.box', (e) => e.tabIndex === 0 && e.ariaLabel), lacking('th', (e) => e.scope),
            ids.length - new Set(ids).size, document.documentElement.lang === 'en' ? 0 : 1]"""
    assert opened.execute_script(missing) == [0] * 7


def test_everything_known_of_a_table_is_on_it(html):
    demo = html[html.index('<h2 id="t1">') :].split('<h2 id="t2">')[0]
    for part in ("Does the machine work?", "oracle", "mean-mask <span", ">fewer<", "trained as", "By method"):
        assert part in demo
    assert demo.count('<svg role="img"') == 5  # IoU, AUROC and loss by step, IoU and AUROC by GFLOPs
    assert "GFLOPs at" in demo  # said when the pointer rests on a mark
    assert "the checkpoint that was tested" in demo
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_what_is_not_there_says_how_to_make_it(html, runs):
    own = html[html.index('<h2 id="t2">') :]
    assert "make train EXP=" in own
    assert f"--out {runs}/cost.csv" in own
    assert "No pictures" in own
    assert "trained as" not in own


def test_the_page_is_the_same_from_run_to_run(runs, html):
    assert write_results_page(runs, results(runs)) == len(html.encode())
    assert (runs / "index.html").read_text() == html


def test_pictures_are_ordered_by_how_well_their_frames_were_done(runs):
    (of_run,) = [each for each in run_folders(runs) if each.row == "segmentation"]
    frames = read_result(of_run.folder).frames
    fakes = frames[frames["label"] == 1]
    iou = (fakes["tp"] / fakes[["tp", "fp", "fn"]].sum(axis=1)).sort_values(ascending=False).tolist()
    ends = find_pictures(of_run)
    for end in ("best", "worst"):
        shown = [picture for picture in ends[end] if picture.kind == "fake"]
        ranks = [picture.rank for picture in shown]
        assert ranks == sorted(ranks, reverse=end == "worst")
        for picture in shown:
            assert picture.metric.startswith(f"IoU {iou[picture.rank - 1]:.2f}")
            assert picture.frames == len(fakes)
    assert max(p.rank for p in ends["best"] if p.kind == "fake") < min(
        p.rank for p in ends["worst"] if p.kind == "fake"
    )
    assert len({p.path for pictures in ends.values() for p in pictures}) == sum(map(len, ends.values()))


def test_pictures_of_a_model_without_pixels_are_ordered_by_score(runs):
    (of_run,) = [each for each in run_folders(runs) if each.row == "classification"]
    best = find_pictures(of_run)["best"]
    assert {picture.kind for picture in best} == {"fake", "real"}
    fakes = [float(picture.metric.removeprefix("score ")) for picture in best if picture.kind == "fake"]
    reals = [float(picture.metric.removeprefix("score ")) for picture in best if picture.kind == "real"]
    assert fakes == sorted(fakes, reverse=True)
    assert reals == sorted(reals)


def test_the_size_of_all_pictures_is_bounded_and_what_is_left_out_is_counted(runs):
    galleries = [find_pictures(each) for each in run_folders(runs)]
    wanted = sum(len(pictures) for gallery in galleries for pictures in gallery.values())
    shown, left_out = embed_pictures(galleries)
    assert (len(shown), left_out) == (wanted, 0)
    budget = sum(len(picture.uri) for picture in shown.values()) // 2
    fewer, left_out = embed_pictures(galleries, budget)
    assert 0 < len(fewer) < wanted
    assert len(fewer) + left_out == wanted
    assert sum(len(picture.uri) for picture in fewer.values()) <= budget
    assert any("segmentation" in path for path in fewer)
    assert any("classification" in path for path in fewer)  # in turn, not one row first


def test_curves_are_joined_over_starts(tmp_path):
    trained = ["10,0.5,\n20,0.4,\n30,0.9,\n30,,0.3", "20,0.35,\n30,0.3,\n30,,0.6"]
    for version, lines in enumerate([*trained, ",,", "0,,0.7", None]):
        log = tmp_path / "logs" / f"version_{version * 5}" / "metrics.csv"  # version_10 is after version_5
        log.parent.mkdir(parents=True)
        log.write_text("" if lines is None else f"step,train/loss,val/frame_auroc\n{lines}\n")
    joined = read_curves(RunFolder(tmp_path))
    assert joined["step"].tolist() == [10, 20, 30, 30]
    assert joined["train/loss"].dropna().tolist() == [0.5, 0.35, 0.3]
    assert joined["val/frame_auroc"].dropna().tolist() == [0.6]
    assert read_curves(RunFolder(tmp_path / "nowhere")).empty


def test_rows_of_nearly_the_same_cost_can_be_told_apart_by_the_axis():
    points = [Point(0.29787, 0.4, 0.3, 0.5, 0, "a <b>"), Point(0.29788, 0.3, float("nan"), float("nan"), 1, "c")]
    svg = draw_points(points, "GFLOPs", "IoU")
    ticks = re.findall(r"<text[^>]*>(0\.\d+)</text>", svg)
    assert len(ticks) == len(set(ticks)) > 4
    assert "<title>a &lt;b&gt;</title>" in svg
    assert 'aria-label="IoU by GFLOPs. a &lt;b&gt;; c"' in svg
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r"(url\(|href=.)#\w+", "", svg))  # the page sets every colour


def test_long_curves_become_means_of_equal_stretches(tmp_path):
    import pandas as pd

    curve = pd.DataFrame({"step": range(1000), "loss": [1.0, 3.0] * 500})
    assert shorten(curve, 100) == ([4.5 + 10 * n for n in range(100)], [2.0] * 100)
    assert shorten(curve, 1000)[0] == list(range(1000))


@pytest.fixture
def transfer(tmp_path):
    """Two rows that were trained on one method each and tested on both."""

    def write(row, name, **metrics):
        path = tmp_path / "table-5" / row / "seed0" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({f"test/pixel_iou_balanced{key}": value for key, value in metrics.items()}))
        index = row if name == "metrics" else name  # the two were not tested on the same data of their own
        stage = name.replace("metrics", "test")
        RunFolder(path.parent).note(stage, {"index": index, "frames": 9})

    write("deepfakes", "metrics", **{"": 0.8, "/Deepfakes": 0.8})
    write("faceswap", "metrics", **{"": 0.7, "/FaceSwap": 0.7})
    write("deepfakes", "metrics-all", **{"": 0.5, "/Deepfakes": 0.8, "/FaceSwap": 0.2})
    write("faceswap", "metrics-all", **{"": 0.4, "/Deepfakes": 0.1, "/FaceSwap": 0.7})
    write("deepfakes", "metrics-FaceShifter", **{"": 0.3, "/FaceShifter": 0.3})
    return summarise_seeds(results(tmp_path))


def test_rows_of_other_methods_are_shown_on_each_method(transfer):
    grid = grid_of_tests(transfer)
    assert grid.across == ["own test split", "FaceShifter", "all", "all: Deepfakes", "all: FaceSwap"]
    shown = {row: ["-" if value != value else value for value in values] for row, values in grid.rows}
    assert shown == {"deepfakes": [0.8, 0.3, 0.5, 0.8, 0.2], "faceswap": [0.7, "-", 0.4, 0.1, 0.7]}
    (bars,) = grids_of_methods(transfer)
    assert bars.across == ["Deepfakes", "FaceShifter", "FaceSwap"]
    assert [[value for value in values if value == value] for _, values in bars.rows] == [[0.8, 0.2], [0.1, 0.7]]


def test_a_table_begins_with_its_best_row_and_names_its_sources(transfer):
    import pandas as pd

    metric = {"row": "faceswap", "metric": "test/pixel_iou_balanced", "value": 0.65}
    shown = sheet(transfer, pd.DataFrame([{**metric, "source": "book 1"}, {**metric, "source": "book 2"}]))
    assert shown.rows[0].name == "deepfakes"
    assert [(column.name, column.source) for column in shown.columns] == [
        ("IoU balanced", 0),
        ("IoU balanced, published", 1),
        ("IoU balanced, published", 2),
    ]
    (own,) = [row for row in shown.rows if (row.name, row.tested) == ("faceswap", "")]
    assert [cell.value for cell in own.cells] == [0.7, 0.65, 0.65]
    assert shown.sources == ["book 1", "book 2"]


def test_the_first_of_a_table_is_best_on_what_most_rows_were_tested_on(transfer):
    assert find_best_rows(transfer)[:2] == ("deepfakes on all", 0.5)  # on their own test sets they cannot be compared
    of_their_own = transfer[transfer["test_set"] == ""].assign(data="")
    assert find_best_rows(of_their_own)[:2] == ("deepfakes", 0.8)
    beside = of_their_own.assign(row=of_their_own["row"].replace("faceswap", "baseline-mean-mask"))
    assert find_best_rows(beside) == ("deepfakes", 0.8, "mean-mask", 0.7)
    assert find_best_rows(transfer[["row", "test_set", "data"]])[0] == ""


def test_qualities_and_methods_come_in_their_usual_order():
    assert sort_names(["zebra", "c40", "FaceSwap", "", "raw", "c23", "Deepfakes", "all"]) == [
        *("", "raw", "c23", "c40", "Deepfakes", "FaceSwap", "all", "zebra")
    ]
