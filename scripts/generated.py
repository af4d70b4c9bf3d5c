"""Parts of documents that commands write anew: what stands between `<!-- name -->` and `<!-- end -->`."""

_END = "<!-- end -->"


def fill_in(document: str, name: str, content: str) -> str:
    """Return a document with this content in the part of this name. Raises `ValueError` where it has none."""
    before, _, after = _parted(document, name)
    return f"{before}{content.rstrip()}\n{after}"


def filled_in(document: str, name: str) -> str:
    """Return what is in the part of this name. Raises `ValueError` where there is none."""
    return _parted(document, name)[1]


def _parted(document: str, name: str) -> tuple[str, str, str]:
    start = f"<!-- {name} -->\n"
    before, has_begun, rest = document.partition(start)
    content, has_ended, after = rest.partition(_END)
    if not (has_begun and has_ended):
        raise ValueError(f"the document has lost its markers <!-- {name} --> and {_END}")
    return f"{before}{start}", content, f"{_END}{after}"
