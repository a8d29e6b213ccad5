"""A report of a run as one HTML file that needs nothing beside it: facts, score card, movie and figures."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

MEGABYTES = 14  # of files to embed: a third more in the report, which is to stay well below 20 MB
KINDS = {".png": "image/png", ".mp4": "video/mp4"}

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1b1b; --soft: #666; --line: #ccc; }
@media (prefers-color-scheme: dark) { :root { --ground: #17191c; --ink: #e8e8e8; --soft: #a0a0a0; --line: #444; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 0 auto; padding: 1rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
img, video { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
img { box-sizing: border-box; padding: 8px; border: 1px solid var(--line); }
</style>
</head>
<body>
<h1>$title</h1>
$lead
<dl>
$facts
</dl>
$sections
</body>
</html>
""")


@dataclass(frozen=True)
class Section:
    """A picture or a movie of the report.

    Attributes
    ----------
    heading
        Its title.
    text
        What it shows, in words for people who see such a picture for the first time.
    file
        PNG or MP4; a section whose file is not there is left out.
    """

    heading: str
    text: str
    file: Path


def write_report(
    path: Path, title: str, lead: Sequence[str], facts: Mapping[str, str], sections: Sequence[Section]
) -> None:
    """Write the report.

    Parameters
    ----------
    path
        File to write.
    title
        Its title.
    lead
        Paragraphs that come first.
    facts
        What was done, by what it is called.
    sections
        The pictures in order. When they become too large together, the rest are named but not embedded.
    """
    shown, left = [], MEGABYTES * 1e6
    for section in sections:
        if section.file.exists():
            left -= section.file.stat().st_size
            shown.append(_section(section, embed=left >= 0))
    page = _PAGE.substitute(
        title=escape(title),
        lead="\n".join(f"<p>{escape(text)}</p>" for text in lead),
        facts="\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()),
        sections="\n".join(shown),
    )
    path.write_text(page, encoding="utf-8")


def _section(section: Section, *, embed: bool) -> str:
    heading, text, name = escape(section.heading), escape(section.text), escape(section.file.name)
    kind = KINDS[section.file.suffix]
    if not embed:
        picture = f"<p>Too large for this page; see {name} beside it.</p>"
    else:
        data = f"data:{kind};base64,{b64encode(section.file.read_bytes()).decode('ascii')}"
        if kind.startswith("video"):
            picture = f'<video controls loop muted playsinline preload="metadata" src="{data}"></video>'
        else:
            picture = f'<img alt="{heading}" src="{data}">'
    return f"<section>\n<h2>{heading}</h2>\n<p>{text}</p>\n{picture}\n</section>"
