"""A hook of mkdocs: links that leave docs/ become words, for the site does not hold what is there.

Where the repository is read, `[bucket.py](../layers/limiter/leasegate/bucket.py)` opens that file. On the site it
says its path when pointed at. A link to what is not there is a warning, which ends a strict build.
"""

from __future__ import annotations

import html
import logging
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^]]+)\]\(\s*(?P<target>\.\./[^)#\s]+)(?:#[^)\s]*)?\s*\)")

_logger = logging.getLogger("mkdocs.hooks.sources")


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page's Markdown with its links out of docs/ put into words; mkdocs calls it for every page."""
    docs = Path(config.docs_dir)

    def put_into_words(link: re.Match[str]) -> str:
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link["target"]))
        if not inside.startswith("../"):
            return link[0]
        if not (docs / inside).exists():
            _logger.warning("%s links to %s, which is not there", page.file.src_uri, link["target"])
        path = html.escape(posixpath.normpath(posixpath.join(docs.name, inside)))
        return f'<span title="{path}">{link["text"]}</span>'

    return _LINK.sub(put_into_words, markdown)
