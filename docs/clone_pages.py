"""Hook of mkdocs: files of the clone outside `docs/` become pages and pictures of the site.

They stay where readers of the clone look for them, with links that work there. Here those links are
made to work on the site as well: to a page, to a picture that is copied, or, for any other file of
the clone, to its bare name. A link to a file that does not exist is left alone, so that a strict
build reports it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

CLONE = Path(__file__).resolve().parent.parent

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "train/EXPERIMENTS.md": "experiments.md",
    "runtime/emo_listen/models/hubert-compact/README.md": "model-card.md",
    "benchmarks/results/amd-epyc-2-cores.md": "measurements.md",
}
"""Files of the clone, and the pages that they become."""

LINK = re.compile(
    r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)"
)
"""A link or picture in Markdown that names a file, not an address."""

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the pictures that any page shows."""
    for source, page in PAGES.items():
        text = FRONT_MATTER.sub("", (CLONE / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    for file in list(files.documentation_pages()):
        for link in LINK.finditer(file.content_string):
            path = in_clone(file.src_uri, link["path"])
            if not link["picture"] or path.startswith("docs/") or not (CLONE / path).is_file():
                continue
            if files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(CLONE / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the page's links at what the site has."""
    here = posixpath.dirname(page.file.src_uri)

    def replace(link: re.Match[str]) -> str:
        target = in_clone(page.file.src_uri, link["path"])
        on_site = PAGES.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(on_site) is not None:
            path = posixpath.relpath(on_site, here)
            return f"{link['picture']}[{link['text']}]({path}{link['anchor'] or ''})"
        if (CLONE / target).exists():
            return link["text"] if link["text"].startswith("`") else f"{link['text']} (`{target}`)"
        return link[0]

    return LINK.sub(replace, markdown)


def in_clone(page: str, path: str) -> str:
    """Path from the top of the clone of what `page` of the site links to as `path`."""
    source = next((name for name, to in PAGES.items() if to == page), f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
