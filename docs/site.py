"""The hook of the docs site (`mkdocs.yml`): adds the generated reference, and the files of the repository that pages
link to, so that the site needs nothing beside itself."""

import re
import sys
from pathlib import Path
from posixpath import normpath, relpath

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = re.compile(r"\]\((\.\./[^)#]+)(#[^)]*)?\)")
LANGUAGES = {".py": "python", ".toml": "toml", ".md": "markdown"}


def on_files(files, config):
    """Add the reference, and a page for each file outside the docs folder that a page links to."""
    sys.path.insert(0, str(Path(__file__).parent))
    from reference import pages

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for place in sorted({target for page in files.documentation_pages() for target in _outside(page)}):
        files.append(File.generated(config, _address(place), content=_shown(place)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links to files outside the docs folder lead to their pages."""

    def inside(found):
        place = _place(page.file.src_uri, found[1])
        if place is None:
            return found[0]
        return f"]({relpath(_address(place), str(Path(page.file.src_uri).parent))})"

    return OUTSIDE.sub(inside, markdown)


def _outside(page):
    return [place for link, _ in OUTSIDE.findall(page.content_string) if (place := _place(page.src_uri, link))]


def _place(page, link):
    """The path in the repository that a link leads to; None where it stays in the docs folder."""
    path = normpath(f"docs/{Path(page).parent.as_posix()}/{link}")
    return None if path.startswith("docs/") else path


def _address(place):
    return f"repository/{place.lstrip('.')}.md"


def _shown(place):
    path = ROOT / place
    if path.is_dir():
        parts = [file for file in sorted(path.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    elif path.is_file():
        parts = [path]
    else:
        raise FileNotFoundError(f"a page of the docs links to {place}, which is not there")
    blocks = []
    for file in parts:
        text = file.read_text("utf-8").rstrip("\n")
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        blocks.append(f"## {file.relative_to(ROOT)}\n\n{fence}{LANGUAGES.get(file.suffix, 'text')}\n{text}\n{fence}\n")
    return f"# {place}\n\nAs it is in the repository.\n\n" + "\n".join(blocks)
