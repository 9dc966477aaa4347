"""The page in a real browser: typed claims, a file, both languages, the keyboard, a small screen."""

import csv
import shutil

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra dev)")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from live_server import serving  # noqa: E402
from medverdict.predict.answer import answer  # noqa: E402
from medverdict.serve.limits import Limits  # noqa: E402

CLAIMS = ["Bệnh lao lây qua đường hô hấp.", "Thuốc 2 có tác dụng xấu.", "Thuốc <b>3</b> có tác dụng tốt & rẻ."]
VERDICTS = {"TRUE": "Đúng", "FALSE": "Sai", "ABSTAIN": "Không chắc"}
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("no chromium with its chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    folder = tmp_path_factory.mktemp("browser")
    for argument in (*QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.downloads = folder
    yield opened
    opened.quit()


@pytest.fixture
def page(chromium, address):
    chromium.get(address)
    chromium.execute_script("localStorage.clear()")
    chromium.refresh()
    chromium.get_log("browser")
    return Page(chromium)


class Page:
    """What a person does with the page."""

    def __init__(self, browser):
        self.browser = browser

    def __getitem__(self, name):
        return self.browser.find_element(By.ID, name)

    def wait(self, condition):
        return WebDriverWait(self.browser, 20, 0.02).until(lambda _: condition())

    def ask(self, *claims):
        self["claims"].clear()
        self["claims"].send_keys("\n".join(claims), Keys.CONTROL, Keys.ENTER)
        self.wait(lambda: len(self.answers()) == len(claims) and self["status"].text)

    def answers(self):
        items = self.browser.find_elements(By.CSS_SELECTOR, "#answers li")
        return [
            (i.find_element(By.CSS_SELECTOR, ".verdict").text, i.find_element(By.CSS_SELECTOR, ".claim").text)
            for i in items
        ]

    def judge_file(self, path):
        self["file"].send_keys(str(path))
        self.wait(self["judge"].is_displayed)
        self["judge"].click()
        self.wait(self["download"].is_displayed)

    def downloaded(self, name, link):
        path = self.browser.downloads / name
        path.unlink(missing_ok=True)
        link.click()
        self.wait(path.is_file)
        return path.read_bytes()


def test_typed_claims_get_verdict_probability_and_an_announcement(page, loaded):
    page.ask(*CLAIMS)
    expected = answer(loaded, CLAIMS)
    for (verdict, claim), right in zip(page.answers(), expected, strict=True):
        assert claim == right.claim and verdict.endswith(VERDICTS[right.verdict])
    beliefs = [b.text for b in page.browser.find_elements(By.CSS_SELECTOR, "#answers .belief")]
    assert beliefs == [f"khả năng đúng {round(100 * a.p_true)} %" for a in expected]
    assert "3 mệnh đề" in page["status"].text and page["status"].get_attribute("aria-live") == "polite"
    assert not page.browser.get_log("browser"), "the console must stay empty, the content policy unbroken"


def test_it_says_not_sure_only_when_allowed(page):
    many = [f"Thuốc {n} có tác dụng." for n in range(20)] + ["Trời xanh.", "Ho.", "Sốt cao kéo dài nên đi khám."]
    page.ask(*many)
    assert not any("Không chắc" in verdict for verdict, _ in page.answers())
    page["abstain"].click()
    page.ask(*many)
    assert any("Không chắc" in verdict for verdict, _ in page.answers())


def test_the_warning_is_in_sight_wherever_one_scrolls_in_both_languages(page):
    page.ask(*[f"Thuốc {n} có tác dụng." for n in range(40)])
    for code, words in (("vi", "Không phải tư vấn y khoa"), ("en", "Not medical advice")):
        page.browser.execute_script("scrollTo(0, 0)")
        page[code].click()
        page.browser.execute_script("scrollTo(0, document.body.scrollHeight)")
        box = page.browser.execute_script("return document.querySelector('.notice').getBoundingClientRect().toJSON()")
        assert box["top"] == 0 and box["height"] > 20
        assert words in page.browser.find_element(By.CSS_SELECTOR, ".notice").text


def test_english_changes_every_word_and_is_remembered(page):
    page.ask(*CLAIMS)
    page["en"].click()
    assert page.browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
    assert {verdict.split()[-1] for verdict, _ in page.answers()} <= {"True", "False"}
    page.browser.refresh()
    assert page["send"].text == "Check" and page["en"].get_attribute("aria-pressed") == "true"
    assert page.browser.execute_script(
        "return Object.keys(WORDS.vi).sort().join() === Object.keys(WORDS.en).sort().join()"
    )
    assert page.browser.execute_script(
        "return [...document.querySelectorAll('[data-say],[data-label],[data-hint]')].every((e) => "
        "[e.dataset.say, e.dataset.label, e.dataset.hint].every((k) => !k || (WORDS.vi[k] && WORDS.en[k])))"
    )


def test_history_survives_a_reload_is_downloaded_and_cleared(page):
    page.ask(*CLAIMS)
    page.browser.refresh()
    page["history"].find_element(By.TAG_NAME, "summary").click()
    assert len(page.browser.find_elements(By.CSS_SELECTOR, "#history-list li")) == 3
    saved = page.downloaded("medverdict-history.csv", page["history-save"]).decode("utf-8-sig")
    rows = list(csv.DictReader(saved.splitlines()))
    assert [row["claim"] for row in rows] == CLAIMS[::-1] and {row["verdict"] for row in rows} <= {"TRUE", "FALSE"}
    page["history-clear"].click()
    assert not page["history"].is_displayed()
    page.browser.refresh()
    assert not page["history"].is_displayed()


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_csv_file_comes_back_judged_with_its_columns_order_and_form(page, loaded, tmp_path, delimiter):
    claims = [f'Thuốc {n} có tác dụng {"tốt" if n % 2 else "xấu"}, rồi; "thôi".' for n in range(40)]
    path = tmp_path / "đề thi.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows(
            [("STT", "Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY)", ""), *((9 - n, c, "x") for n, c in enumerate(claims))]
        )
    page.judge_file(path)
    made = page.downloaded("đề thi-judged.csv", page["download"])
    assert made.startswith(b"\xef\xbb\xbf") and b"\r\n" in made
    header, *rows = csv.reader(made.decode("utf-8-sig").splitlines(), delimiter=delimiter)
    assert header == ["STT", "Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY)", "", "verdict", "p_true"]
    assert [row[:3] for row in rows] == [[str(9 - n), c, "x"] for n, c in enumerate(claims)]
    expected = answer(loaded, claims)
    assert [row[3] for row in rows] == [a.verdict for a in expected]
    assert [float(row[4]) for row in rows] == pytest.approx([a.p_true for a in expected], abs=1e-5)


def test_rows_that_cannot_be_judged_stay_empty_and_are_named(page, tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("câu\nĐược.\n" + "dài " * 600 + "\nCũng được.\n", encoding="utf-8")
    page["file"].send_keys(str(path))
    page.wait(page["column"].is_displayed)
    assert page.browser.switch_to.active_element == page["column"], "an unknown header: the person chooses"
    page["judge"].click()
    page.wait(page["download"].is_displayed)
    fault = page["file-fault"].text
    assert "1 dòng" in fault and "Dòng 3" in fault and "at most 2000" in fault
    rows = list(csv.DictReader(page.downloaded("gaps-judged.csv", page["download"]).decode().splitlines()))
    assert [bool(row["verdict"]) for row in rows] == [True, False, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"claim\n", "không có dòng nào"),
        ("claim\nBệnh\n".encode("utf-16"), "UTF-8"),
        (b"claim,n\na, b, c\n", "Dòng 2"),
        (b'claim\n"a\nb\n', "dòng 2"),
        (b"claim,verdict\na,b\n", "verdict"),
    ],
)
def test_a_file_that_cannot_be_used_is_answered_with_its_fault(page, tmp_path, content, told):
    (tmp_path / "bad.csv").write_bytes(content)
    page["file"].send_keys(str(tmp_path / "bad.csv"))
    page.wait(page["file-fault"].is_displayed)
    assert told in page["file-fault"].text and page["file-fault"].get_attribute("role") == "alert"
    assert not page["file-job"].is_displayed()


def test_nothing_typed_and_too_much_typed_are_told(page):
    page["send"].click()
    assert page["ask-fault"].text == "Hãy nhập ít nhất một mệnh đề."
    assert page.browser.switch_to.active_element == page["claims"]
    page.browser.execute_script("document.getElementById('claims').value = 'ngắn\\n' + 'dài '.repeat(600)")
    page["send"].click()
    assert "Mệnh đề 2 dài 2.399 ký tự" in page["ask-fault"].text


def test_a_busy_server_is_asked_again_and_a_stopped_one_is_told(chromium, loaded):
    with serving(loaded, Limits(waiting=1)) as address:
        chromium.get(address)
        page = Page(chromium)
        page["claims"].send_keys("Một.\nHai.")
        page["send"].click()
        page.wait(lambda: "bận" in page["ask-fault"].text)
        page["stop"].click()
        page.wait(lambda: page["status"].text == "Đã dừng.")
        assert page.browser.switch_to.active_element == page["send"]
    page["send"].click()
    page.wait(lambda: "Không kết nối được" in page["ask-fault"].text)


def test_all_can_be_done_by_keyboard_in_the_order_of_reading(page):
    page.ask(*CLAIMS)
    page.browser.refresh()
    reached = []
    for _ in range(8):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        element = page.browser.switch_to.active_element
        reached.append(element.get_attribute("id") or element.tag_name)
        seen = "const e = arguments[0]; return getComputedStyle(e.id === 'file' ? e.labels[0] : e).outlineStyle"
        assert page.browser.execute_script(seen, element) != "none", f"no focus to be seen on {reached[-1]}"
    assert reached == ["vi", "en", "claims", "send", "abstain", "file", "summary", "a"]


def test_everything_to_be_filled_in_or_pressed_has_a_name(page, tmp_path):
    (tmp_path / "in.csv").write_text("claim\na\n", encoding="utf-8")
    page.ask(*CLAIMS)
    page.judge_file(tmp_path / "in.csv")
    for element in page.browser.find_elements(By.CSS_SELECTOR, "button, input, select, textarea, a, progress, summary"):
        assert element.accessible_name or not element.is_displayed(), element.get_attribute("outerHTML")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out_sideways(page, width):
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        page.ask(*CLAIMS, "dài" * 90)
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_about_the_api_is_drawn_and_asks(page, address):
    page.browser.get(f"{address}/docs")
    page.wait(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "#operations section")) == 3)
    page["send"].click()
    page.wait(lambda: page["answer"].is_displayed() and page["answer"].text.startswith("200"))
    assert "not medical advice" in page["notice"].text and '"p_true"' in page["answer"].text
    assert not page.browser.get_log("browser")
