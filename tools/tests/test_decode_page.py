"""`rawfuse decode --html`: the page in a real browser."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from rawfuse import wire
from rawfuse.trace.exchanges import Exchange, exchanges
from rawfuse.trace.opening import read_trace, write_trace
from rawfuse.trace.record import Traced
from tools.decode.command import main
from tools.decode.dump import fields
from tools.decode.page import write_page
from tools.tests.browser import Browser, Page
from tools.tests.made_traces import Made, everything

BROWSER: Final = pytest.mark.kernel(programs=("chromium",))
MANY: Final = 600


def _slow(message: Traced) -> Traced:
    return message._replace(time=message.time + 50_000_000)


def _messages() -> list[Traced]:
    """Two READs in flight together, one of them slow; then many LOOKUPs, one every other failing."""
    made = Made(5)
    entry = wire.fuse_entry_out(nodeid=5, attr=wire.fuse_attr(ino=5, mode=0o100644, size=7)).pack()
    made.call(wire.Lookup(nodeid=1, pid=41, name=b"file"), entry)
    made.call(wire.Open(nodeid=5, pid=41, arg=wire.fuse_open_in(flags=os.O_RDWR)), wire.fuse_open_out(fh=3).pack())
    made.call(wire.Read(nodeid=5, pid=41, arg=wire.fuse_read_in(fh=3, size=4096)), b"content", program=b"head")
    made.call(wire.Read(nodeid=5, pid=42, arg=wire.fuse_read_in(fh=3, size=99, offset=7)), b"more", program=b"tail")
    made.notify(2)
    for number in range(MANY):
        failed = number % 2
        made.call(wire.Lookup(nodeid=1, pid=43, name=b"name%d" % number), b"" if failed else entry, 2 * failed)
    made.messages[5] = _slow(made.messages[5])
    return made.messages


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "t.pcapng"
    write_trace(path, _messages())
    return path


@pytest.fixture(scope="module")
def html(trace: Path) -> Path:
    path = trace.with_suffix(".html")
    with open(path, "w", encoding="utf-8") as file:
        write_page(file, exchanges(read_trace(trace)), title="a <b> trace", intro="What this is & why")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def opened(browser: Browser, html: Path) -> Page:
    return browser.open(html)


@pytest.fixture
def page(opened: Page) -> Page:
    """The page with an empty filter."""
    ask(opened, "")
    return opened


def ask(page: Page, question: str) -> str:
    """What the page says of the filter."""
    page.type("#filter", question)
    page.value("ask()")
    return str(page.value("document.querySelector('#said').textContent"))


def rows(page: Page) -> list[str]:
    found: list[str] = page.value("[...document.querySelectorAll('.row')].map((row) => row.innerText)")
    return found


@BROWSER
@pytest.mark.parametrize(
    ("question", "words", "count"),
    [
        ("", [], MANY + 5),
        ("opcode:read", ["--opcode", "read"], 2),
        ("opcode=READ,OPEN", ["--opcode", "READ,OPEN"], 3),
        ("--opcode NOTIFY_*", ["--opcode", "NOTIFY_*"], 1),
        ("opcode:1", ["--opcode", "1"], MANY + 1),
        ("path:/file", ["--path", "/file"], 4),
        ("path:/name1[0-4]?", ["--path", "/name1[0-4]?"], 50),
        ("pid:41", ["--pid", "41"], 3),
        ("program:h??d", ["--program", "h??d"], 1),
        ("error:ENOENT", ["--error", "ENOENT"], MANY // 2),
        ("error:2", ["--error", "2"], MANY // 2),
        ("error:any pid:41", ["--error", "any", "--pid", "41"], 0),
        ("slower:2ms", ["--slower", "2ms"], 1),
        ("slower:1.2", ["--slower", "1.2"], MANY + 4),
        ("slower:1s", ["--slower", "1s"], 0),
    ],
)
def test_the_filter_box_takes_the_words_of_the_command(
    page: Page, trace: Path, capsys: pytest.CaptureFixture[str], question: str, words: list[str], count: int
) -> None:
    assert ask(page, question) == f"{count} of {MANY + 5}"
    assert main([str(trace), *words]) == 0
    assert len(capsys.readouterr().out.splitlines()) == count


@BROWSER
@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("tail", f"1 of {MANY + 5}"),
        ("NAME17 enoent", f"6 of {MANY + 5}"),
        ('"size=4096"', f"1 of {MANY + 5}"),
        ("opcode:LOKUP", "no opcode is called LOKUP"),
        ("slower:fast", "fast is no duration: 250us, 1.5ms, 2s"),
        ("error:what", "what is no errno: ENOENT, a number, or any"),
    ],
)
def test_other_words_are_text_and_mistakes_are_told(page: Page, question: str, said: str) -> None:
    assert ask(page, question) == said


@BROWSER
def test_a_line_says_what_the_command_says(page: Page) -> None:
    ask(page, "program:head")
    (line,) = rows(page)
    for word in ("READ", "/file", "size=4096", "7 bytes", "51.2 ms", "head[41]"):
        assert word in line


@BROWSER
def test_only_the_lines_that_are_seen_are_in_the_page(page: Page) -> None:
    assert 10 < len(rows(page)) < 100
    page.value("document.querySelector('#list').scrollTop = 1e9")
    page.until(f"document.querySelector('#rows').innerText.includes('/name{MANY - 1}')")
    assert len(rows(page)) < 100
    page.value("document.querySelector('#list').scrollTop = 0")


def _shown_bytes(page: Page, label: str) -> dict[int, tuple[str, str]]:
    """Of each field its text and its bytes, as the pane marks them when the field is clicked."""
    box = f"document.querySelector('[data-message={label}]')"
    count = page.value(f"{box}.querySelectorAll('li').length")
    script = f"""(() => {{
        const found = [];
        for (let number = 0; number < {count}; number++) {{
            const item = {box}.querySelector(`li[data-field="${{number}}"]`);
            item.click();
            const on = [...document.querySelectorAll('.byte.on')].map((one) => one.textContent).join('');
            found.push([item.textContent, on]);
        }}
        return found;
    }})()"""
    return dict(enumerate((text, raw) for text, raw in page.value(script)))


def _expected(message: Traced, exchange: Exchange) -> dict[int, tuple[str, str]]:
    return dict(
        enumerate(
            (f"{one.name} = {one.text}" if one.text else one.name, message.data[one.offset :][: one.length].hex())
            for one in fields(message, exchange)
        )
    )


@BROWSER
def test_a_click_on_a_line_shows_its_fields_over_their_bytes(page: Page, trace: Path) -> None:
    ask(page, "path:/file")
    page.click(*page.point(".row"))
    page.until("document.querySelector('[data-message=reply]') !== null")
    exchange = next(iter(exchanges(read_trace(trace))))
    assert exchange.sent is not None
    assert exchange.answer is not None
    assert _shown_bytes(page, "request") == _expected(exchange.sent, exchange)
    assert _shown_bytes(page, "reply") == _expected(exchange.answer, exchange)
    page.press("ArrowDown")
    assert page.value("document.querySelector('#pane h2').textContent") == "OPEN /file"


@BROWSER
def test_requests_in_flight_together_are_beside_each_other_and_can_be_clicked(page: Page) -> None:
    ask(page, "")
    x, y = page.value(
        """(() => {
        const canvas = document.querySelector('#bars'), box = canvas.getBoundingClientRect();
        const row = order.find((one) => text('program', one) === 'tail');
        move(columns.time[row] - 2e6, 8e6);
        const step = Math.min(canvas.height / laneCount, 18 * devicePixelRatio) / devicePixelRatio;
        const middle = columns.time[row] + columns.latency[row] / 2;
        return [box.x + place(canvas, middle) / devicePixelRatio, box.y + (lanes[row] + 0.5) * step];
    })()"""
    )
    assert page.value("laneCount") == 2
    page.click(x, y)
    assert page.value("document.querySelector('#pane h2').textContent") == "READ /file"
    assert "offset=7" in page.value("document.querySelector('#pane p').textContent")


@BROWSER
def test_figures_are_of_what_is_shown(page: Page) -> None:
    ask(page, "opcode:READ")
    page.click(*page.point("#figures summary"))
    page.until("document.querySelectorAll('#counts tr').length === 1")
    assert (
        page.value("document.querySelector('#counts tr').innerText").split()
        == "READ 2 0 51.2 ms 51.2 ms 51.2 ms".split()
    )
    page.click(*page.point("#figures summary"))


@BROWSER
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_readable_loads_nothing_and_keeps_to_its_policy(browser: Browser, html: Path, dark: bool) -> None:
    page = browser.open(html, fragment="#error%3Aany", dark=dark)
    assert page.value("document.querySelector('#said').textContent") == f"{MANY // 2} of {MANY + 5}"
    assert page.value("document.title") == "a <b> trace"
    assert page.value("document.querySelector('#intro').textContent") == "What this is & why"
    assert page.troubles() == []
    colours = "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
    back, fore = (_brightness(text) for text in page.value(colours))
    assert back < 0.2 and fore > 0.8 if dark else back > 0.8 and fore < 0.2


def _brightness(colour: str) -> float:
    return sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(","))) / 765


@BROWSER
def test_every_message_has_its_fields(browser: Browser, tmp_path: Path) -> None:
    write_trace(tmp_path / "t.pcapng", everything(9))
    found = list(exchanges(read_trace(tmp_path / "t.pcapng")))
    with open(tmp_path / "t.html", "w", encoding="utf-8") as file:
        assert write_page(file, found, title="all", largest=100_000) == len(found)
    page = browser.open(tmp_path / "t.html")
    script = """trace.messages.map((message) => fieldsOf(message).map(
        (one) => [one.offset, one.length, one.name, one.text]))"""
    shown = page.value(script)
    expected: list[Any] = []
    for exchange in found:
        for message in (exchange.sent, exchange.answer):
            if message is not None:
                expected.append([list(one) for one in fields(message, exchange)])
    assert json.loads(json.dumps(expected)) == shown


def test_a_page_is_made_of_nothing_but_itself() -> None:
    file = io.StringIO()
    assert write_page(file, [], title="\u00e9 \udcff </script>") == 0
    text = file.getvalue()
    assert text.isascii()
    assert "&#233;" in text
    assert "{{" not in text
    for outside in ("src=", "href=", "http:", "https:", "@import", "url("):
        assert outside not in text.replace("xmlns", "")


def test_the_command_writes_the_page_to_its_output(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trace), "--html", "--opcode", "READ"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
