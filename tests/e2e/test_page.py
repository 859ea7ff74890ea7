"""The page in a browser, on the real engine with the model that ships."""

from __future__ import annotations

import re

from conftest import CAMERA, PATIENCE, launch, started, steady, until
from playwright.sync_api import expect

from hermes.assets import CLIPS
from hermes.video import sample
from hermes.video.thumbnails import jpeg

HALF_HOUR = 4
"""Number of the clip that does not end during a test. It has a frame every two seconds, so play it at 4×."""


def start(page, clip=1, speed="2×"):
    page.get_by_role("tab", name="Clips").click()
    page.get_by_role("radiogroup", name="Clips").get_by_role("radio").nth(clip).click()
    page.get_by_role("radio", name=speed).click()
    page.get_by_role("button", name="Start", exact=True).click()
    runs_or_ended = re.compile("Pause|Play again")  # at full speed a short clip is over before the page asks again
    expect(page.get_by_role("button", name=runs_or_ended)).to_be_visible()


def export(page, kind, title, *, within=None):
    """Choose an entry of a figure's export menu."""
    place = within or page
    place.locator(f'summary[aria-label="Export: {title}"]').click()
    place.get_by_role("button", name=f"{kind}: {title}", exact=True).click()


def board(page):
    return page.get_by_role("application", name="What each layer still holds of each frame")


def frames(page):
    """Number of frames seen according to the board. It is read often while a stream runs, so without a search by role."""
    output = page.evaluate("document.querySelector('.hl-board .hl-caption')?.innerText ?? ''")
    found = re.match(r"([\d,]+) frames? seen, ", output)
    return int(found[1].replace(",", "")) if found else 0


def wait_frames(page, least):
    until(page, lambda: frames(page) >= least, lambda: f"only {frames(page)} of {least} frames")


def position(page):
    """Position in the clip or run in seconds, as the page shows it."""
    text = page.locator(".hl-clock span").inner_text()
    whole = 0.0
    for part in text.split(":"):
        whole = whole * 60 + (0.0 if "–" in part else float(part))  # before the first frame
    return whole


def wait_position(page, least):
    until(page, lambda: position(page) >= least, lambda: f"only at {position(page)} of {least} s")


def pause(place):
    """Pause a stream or a recording, unless a busy machine has played it to its end by now."""
    main = place.get_by_role("button", name=re.compile("^(Pause|Resume|Play again)$"))
    main.evaluate("node => node.innerText.trim() === 'Pause' && node.click()")
    expect(place.get_by_role("button", name=re.compile("^(Resume|Play again)$"))).to_be_visible()


def newest_frames(page):
    """Wait until the board has the frame that the player shows; return the number of frames."""
    shown = page.get_by_role("img", name=re.compile(r"^Frame \d+ as the model has seen it"))

    def number():
        return int(re.match(r"Frame (\d+)", shown.get_attribute("alt"))[1])

    until(page, lambda: frames(page) == number(), lambda: f"the board has {frames(page)} frames, the player {number()}")
    return frames(page)


def ask(page, question):
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def turns(page):
    return page.get_by_role("list", name="Questions and answers").get_by_role("listitem")


def picture(canvas):
    """A checksum of the content of a canvas; figures out of view are not drawn."""
    canvas.scroll_into_view_if_needed()
    until(canvas.page, lambda: checksum(canvas), "the figure was not drawn")
    return checksum(canvas)


def checksum(canvas):
    """A number that depends on each pixel of a canvas and its place; 0 if nothing is drawn."""
    return canvas.evaluate("""input => {
        const node = input.previousElementSibling ?? input; // input goes to a canvas above it
        if (!node.width || !node.height) return 0;
        const copy = new OffscreenCanvas(node.width, node.height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(node, 0, 0);
        const pixels = new Uint32Array(copy.getImageData(0, 0, node.width, node.height).data.buffer);
        let sum = 0;
        for (const pixel of pixels) sum = (Math.imul(sum, 31) + pixel) | 0;
        return sum;
    }""")


def redrawn(canvas, *before):
    """Wait until a canvas shows none of the previous pictures; return its content."""
    until(canvas.page, lambda: picture(canvas) not in before, "the figure did not change")
    return picture(canvas)


def top_of_the_board(page):
    """Distance of the memory board from the top of the page, in pixels."""
    heading = page.get_by_role("heading", name="Memory board")
    return heading.evaluate("node => node.getBoundingClientRect().top + scrollY")


def restart(page):
    """Restart a stream that has seen many frames already: the page must show fewer before it has caught up."""
    seen = frames(page)
    page.get_by_role("button", name="Restart").click()
    until(page, lambda: frames(page) < seen, "restart did not empty the memory")


def answered(turn):
    expect(turn).to_have_attribute("data-state", re.compile("done|stopped"))
    return turn.locator(".hl-a").inner_text()


def test_play_ask_see_the_memory_and_move_its_cursor(open_page):
    page = open_page()
    expect(page.get_by_text("Press Start. Each frame")).to_be_visible()
    start(page)
    wait_frames(page, 12)
    before = picture(board(page))
    board(page).evaluate("node => { node.marked = true }")
    top = top_of_the_board(page)
    clock = page.get_by_label("Stream clock")
    expect(clock).to_have_text(re.compile(r"^\d+:\d\d\.\d / \d+:\d\d$"))
    seen = frames(page)
    page.get_by_role("group", name="Suggested questions").get_by_role("button").first.click()
    turn = turns(page).first
    assert answered(turn)
    expect(turn.get_by_role("button").first).to_have_text(re.compile(r"^\d+:\d\d$"))  # the stamp
    expect(turn).to_contain_text("ms to first token")
    wait_frames(page, seen + 8)  # the stream went on
    assert board(page).evaluate("node => node.marked === true"), "the board was mounted again"
    assert top_of_the_board(page) == top, "the parts of the page moved"
    redrawn(board(page), before)
    expect(page.get_by_role("list", name="Most attended frames", exact=True).get_by_role("listitem")).to_have_count(3)
    expect(page.get_by_text(re.compile(r"^Share of the answer’s attention, mean over all layers\. \d"))).to_be_visible()
    expect(page.get_by_text("a full cache would take")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()

    # The cursor of the cells is announced.
    board(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    output = page.get_by_text(
        re.compile(r"^Frame 1 at 0:00\.\d\. Layer 1 · (sensory|working|long-term), keeps \d+ of \d+ tokens")
    )
    expect(output).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile(r"^Frame 2 at "))).to_have_count(1)
    box = board(page).bounding_box()
    page.mouse.move(box["x"] + 140, box["y"] + 95)  # the tooltip has the same content
    expect(page.locator(".hl-tip")).to_contain_text(re.compile(r"keeps \d+ of \d+ tokens"))


def test_light_and_dark_can_be_switched_and_are_remembered(open_page, app):
    page = open_page()
    dark = "document.body.classList.contains('dark')"
    assert not page.evaluate(dark)
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function(dark)
    page.goto(f"{app.url}?run=none")
    started(page)
    assert page.evaluate(dark)


def test_pause_resume_stop_restart_and_change_settings(open_page):
    page = open_page()
    start(page)
    wait_frames(page, 20)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused")).to_be_visible()
    held = newest_frames(page)
    assert steady(page, lambda: frames(page)) == held, "the stream was not paused"
    page.get_by_role("button", name="Resume").click()
    wait_frames(page, held + 2)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Finished. You can still ask questions")).to_be_visible()
    ask(page, "What is shown now?")
    assert answered(turns(page).first)  # the memory is still there
    page.get_by_role("radio", name="1×").click()
    restart(page)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    # Settings apply or say why not; an unknown model is rejected; the stream continues.
    controls = page.get_by_role("group", name="Memory of the stream")
    controls.get_by_label("Policy").select_option("sliding-window")
    expect(controls.get_by_role("status")).not_to_be_empty()
    expect(page.locator(".hl-about-policy")).to_contain_text("Sliding window")
    legend = page.locator(".hl-legend")
    expect(legend).to_contain_text("All layers")
    expect(legend).not_to_contain_text("Sensory")
    colour = page.evaluate("getComputedStyle(document.querySelector('.hl-swatch-3')).backgroundColor")
    tiers = page.evaluate(
        "['sensory', 'working', 'longterm'].map(n => getComputedStyle(document.body).getPropertyValue('--hl-' + n))"
    )
    assert colour not in tiers
    seen = frames(page)
    budget = controls.get_by_role("spinbutton", name="Budget")
    before = budget.input_value()
    budget.fill("0")
    budget.press("Enter")
    expect(controls.get_by_role("status")).to_contain_text("budget", ignore_case=True)
    expect(controls.get_by_role("status")).to_have_attribute("data-kind", "error")
    expect(budget).to_have_value(before)
    wait_frames(page, seen + 4)  # the stream went on
    page.get_by_role("button", name="Settings", exact=True).click()
    drawer = page.get_by_role("dialog", name="Settings")
    model = drawer.get_by_label("Model", exact=True)
    model.fill("/nowhere/no-model")
    model.press("Enter")
    message = drawer.get_by_role("status").filter(has_text="no-model")
    expect(message).to_have_attribute("style", re.compile("danger"))
    wait_frames(page, frames(page) + 4)


def write_camera_film(path, clip, seconds):
    """Write a moment of a bundled clip as a film that Chromium's fake camera repeats: JPEG pictures in a row."""
    with sample(CLIPS / f"{clip}.webm", 4.0) as shown:
        picture = next(frame for frame, at in shown if at >= seconds)
    path.write_bytes(2 * jpeg(picture, picture.shape[1], 90))
    return path


def test_webcam(open_page, playwright, tmp_path):
    """A camera before which a broccoli is held: the model of everyday objects recognises it."""
    film = write_camera_film(tmp_path / "objects.mjpeg", "everyday-objects", 17.0)
    other = launch(playwright, *CAMERA, f"--use-file-for-fake-video-capture={film}")
    page = open_page(within=other)
    page.get_by_role("tab", name="Webcam").click()
    expect(page.get_by_text("stays off until you press Start")).to_be_visible()
    props = page.get_by_role("link", name="Show pictures of objects and cards")
    expect(props).to_have_attribute("href", re.compile("/props$"))
    note = page.get_by_role("note")
    expect(note).to_contain_text("HERMES things knows", timeout=2000 * PATIENCE)  # once both models are loaded
    note.get_by_role("button", name="What it knows").click()
    names = page.get_by_role("region", name="What the model knows")
    expect(names).to_contain_text("broccoli")
    expect(names).to_contain_text("accordion")
    page.get_by_role("button", name="Less about the model").click()
    expect(names).to_be_hidden()
    page.get_by_role("button", name="Start", exact=True).click()
    wait_frames(page, 3)
    expect(page.locator(".hl-seen")).to_have_text(re.compile(r"Seen now: broccoli, \d+ %"))
    ask(page, "What is shown now?")
    assert answered(turns(page).first)
    wait_frames(page, 8)
    restart(page)
    wait_frames(page, 3)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Finished. You can still ask questions")).to_be_visible()
    page.wait_for_function("document.querySelector('video').srcObject === null")  # the camera is off
    page.context.close()
    other.close()


def test_camera_refused_or_missing_is_explained(open_page, playwright):
    access = "--use-fake-ui-for-media-stream"
    troubles = {
        ("--use-fake-device-for-media-stream", f"{access}=deny"): "Camera access was denied",
        (access,): "No camera was found",  # access is allowed, but there is none
    }
    for flags, sentence in troubles.items():
        other = launch(playwright, *flags)
        page = open_page(within=other)
        page.get_by_role("tab", name="Webcam").click()
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text(sentence)
        page.get_by_role("tab", name="Clips").click()
        expect(page.get_by_role("alert")).to_be_hidden()
        start(page)
        page.context.close()
        other.close()


def test_two_tabs_stream_and_chat_at_once_and_are_freed(open_page, app):
    one, two = open_page(), open_page()
    start(one, clip=HALF_HOUR, speed="4×")
    start(two, clip=HALF_HOUR, speed="4×")
    wait_frames(one, 6)
    wait_frames(two, 6)
    ask(one, "What is shown now?")
    ask(two, "What was shown first?")
    assert answered(turns(one).first)
    assert answered(turns(two).first)
    expect(turns(one)).to_have_count(1)
    expect(turns(two)).to_have_count(1)
    expect(turns(one).first).to_contain_text("What is shown now?")
    left = app.log.count("A visitor left")
    two.close()
    seen = frames(one)
    wait_frames(one, seen + 2)
    one.get_by_role("button", name="Pause").click()
    until(one, lambda: app.log.count("A visitor left") > left, "the closed tab's session was not freed")


BAD = [
    ("text.mp4", b"This is no video.\n" * 50, "is a text file, not a video"),
    ("<script>alert(1)</script>.mp4", b"\x00\x01" * 4000, "is not a video in a format known here"),
]


def test_bad_uploads_are_explained_and_nothing_is_lost_and_a_good_one_plays(open_page):
    page = open_page()
    start(page, clip=HALF_HOUR, speed="4×")
    wait_frames(page, 4)
    page.get_by_role("tab", name="Upload").click()
    for name, content, reason in BAD:
        page.locator("#hl-file").set_input_files({"name": name, "mimeType": "video/mp4", "buffer": content})
        expect(page.get_by_role("alert").filter(has_text=reason)).to_be_visible()
        expect(page.locator(".hl-current")).to_have_text(re.compile("^Choose a video file"))  # it is not offered
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
        expect(page.get_by_role("button", name="Start the stream")).to_be_hidden()
        expect(page.locator(".hl-drop")).to_be_visible()
        wait_frames(page, frames(page) + 2)  # the previous stream continues
        page.get_by_role("button", name="Dismiss").click()

    page.locator("#hl-file").set_input_files({"name": "nothing.mp4", "mimeType": "video/mp4", "buffer": b""})
    expect(page.get_by_role("alert")).to_contain_text("nothing.mp4 is empty")

    page.locator("#hl-file").set_input_files("tests/data/variable_rate.mp4")
    expect(page.locator(".hl-current")).to_contain_text("variable_rate.mp4")
    expect(page.locator(".hl-facts")).to_have_text(re.compile(r"\d:\d\d · \d+ × \d+ · [\d.]+ fps · [\d.]+ kB"))
    page.wait_for_function("document.querySelector('.hl-poster').naturalWidth > 0")
    seen = frames(page)
    page.get_by_role("button", name="Start", exact=True).click()
    until(page, lambda: 0 < frames(page) < seen, "the uploaded video does not play")


def test_questions_that_cannot_be_answered_say_why(open_page):
    page = open_page()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("Enter a question first.")).to_be_visible()
    ask(page, "What is shown now?")
    expect(turns(page).last).to_contain_text("Press Start, then ask")
    expect(page.get_by_label("Your question")).to_have_value("What is shown now?")  # nothing lost
    start(page)
    wait_frames(page, 2)
    ask(page, "why " * 2500)
    expect(turns(page).nth(1)).to_have_attribute("data-state", "error")
    ask(page, "<script>window.hacked = 1</script><b>bold</b>")
    expect(turns(page).nth(2)).to_have_attribute("data-state", re.compile("done|error"))
    expect(turns(page).nth(2)).to_contain_text("<script>window.hacked = 1</script><b>bold</b>")
    assert page.evaluate("window.hacked") is None
