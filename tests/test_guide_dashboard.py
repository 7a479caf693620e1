"""The guide's page about the dashboard, against the frame and the script of its pages."""

import re

from app.dashboard.frame import HERE, NAV
from app.store.sign_ins import LASTS

from .test_guide import GUIDE, block

PAGE = "dashboard.md"
TEXT = (GUIDE / PAGE).read_text(encoding="utf-8")


def test_its_pages():
    """Each page of the table is in the frame, with that address and that key, and is told of below."""
    known = [f"| {name} | `{address}` | `g` `{letter}` |" for name, address, letter in NAV]
    rows = block(PAGE, "pages").splitlines()[2:]
    assert rows == known
    names = [row.split("|")[1].strip() for row in rows]
    assert re.findall(r"^- \*\*([^*]+)\*\*", TEXT, re.MULTILINE) == names


def test_its_keys():
    """The keys are those that the script listens to."""
    script = (HERE / "static" / "page.js").read_text(encoding="utf-8")
    table = script.partition("const KEYS = {")[2].partition("};")[0]
    known = set(re.findall(r'^ +"?([^":\s]+)"?:? ?[,:]', table, re.MULTILINE))
    told = set(re.findall(r"`(.)`", TEXT.partition("## At the keyboard")[2].partition("## Acting")[0]))
    assert told == known | {"g"}


def test_how_long_one_is_signed_in():
    """Whoever has signed in stays so for as long as the page says."""
    assert f"signed in for {LASTS.total_seconds() / 3600:g} hours" in TEXT


def test_the_index_names_every_page():
    """Each page of the documents is linked from their index, and every link leads to a file."""
    docs = GUIDE.parent
    index = (docs / "README.md").read_text(encoding="utf-8")
    linked = {(docs / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index)}
    assert {page.resolve() for page in docs.rglob("*.md")} - linked == {(docs / "README.md").resolve()}
    assert all(path.exists() for path in linked)


def test_links_lead_somewhere():
    """Every link from page to page, those beside the folder too, leads to a page, and to a heading that it has."""
    root = GUIDE.parents[1]
    pages = [*GUIDE.parent.rglob("*.md"), *root.glob("*.md"), *(root / "bench").glob("*.md")]
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "RESULTS.md"} <= {page.name for page in pages}
    for page in sorted(pages):
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
            there = (page.parent / target).resolve() if target else page
            assert there.exists(), f"{page.name}: {target}"
            if heading:
                assert heading in anchors(there.read_text(encoding="utf-8")), f"{page.name}: {target}#{heading}"


def anchors(text: str) -> set[str]:
    """The names of a page's headings in addresses."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
