"""Self-contained HTML report: introduction, table of facts, and embedded figures and videos."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

MAX_MEGABYTES = 14  # of embedded files; base64 adds a third, and the report stays below 20 MB
MEDIA_TYPES = {".png": "image/png", ".mp4": "video/mp4"}

_TEMPLATE = Template("""\
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
figure { margin: 0; }
img, video { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
img { box-sizing: border-box; padding: 8px; border: 1px solid var(--line); }
@media (max-width: 600px) { figure { overflow-x: auto; } img { max-width: none; width: 42rem; } }
</style>
</head>
<body>
<h1>$title</h1>
$introduction
<dl>
$facts
</dl>
$sections
</body>
</html>
""")


@dataclass(frozen=True)
class Section:
    """A section of the report: heading, text, and a figure or a video.

    Attributes
    ----------
    heading
        Heading.
    text
        Explanation for readers who are new to such a figure.
    file
        PNG or MP4; the section is omitted if the file does not exist.
    """

    heading: str
    text: str
    file: Path


def write_html_report(
    path: Path, title: str, introduction: Sequence[str], facts: Mapping[str, str], sections: Sequence[Section]
) -> None:
    """Write a report.

    Parameters
    ----------
    path
        File to write.
    title
        Title of the page.
    introduction
        Paragraphs at the top.
    facts
        Facts of the run, by name.
    sections
        Sections in order. Files beyond a total of `MAX_MEGABYTES` are named but not embedded.
    """
    html, bytes_left = [], MAX_MEGABYTES * 1e6
    for section in sections:
        if section.file.exists():
            bytes_left -= section.file.stat().st_size
            html.append(_section(section, embed=bytes_left >= 0))
    page = _TEMPLATE.substitute(
        title=escape(title),
        introduction="\n".join(f"<p>{escape(text)}</p>" for text in introduction),
        facts="\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()),
        sections="\n".join(html),
    )
    path.write_text(page, encoding="utf-8")


def _section(section: Section, *, embed: bool) -> str:
    heading, text, name = escape(section.heading), escape(section.text), escape(section.file.name)
    media_type = MEDIA_TYPES[section.file.suffix]
    if not embed:
        content = f"<p>Too large to embed; see {name} in the same directory.</p>"
    else:
        data = f"data:{media_type};base64,{b64encode(section.file.read_bytes()).decode('ascii')}"
        if media_type.startswith("video"):
            content = f'<video controls loop muted playsinline preload="metadata" src="{data}"></video>'
        else:
            # A figure that was shrunk to a narrow screen could not be read; it is scrolled.
            content = f'<figure tabindex="0"><img alt="{heading}" src="{data}"></figure>'
    return f"<section>\n<h2>{heading}</h2>\n<p>{text}</p>\n{content}\n</section>"
