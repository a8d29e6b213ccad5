"""Names that are markup: HTML, Markdown, formulas."""

from html.parser import HTMLParser

NAMES = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "&amp; &lt;b&gt; \" '",
    "[a](javascript:alert(1)) **b** `c` https://example.org",
    r"$\frac$ $$x$$ ${x} %s",
)


class Page(HTMLParser):
    """Elements of a page with the names of their attributes, what it shows or says of images, and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.texts += [value or "" for name, value in attrs if name == "alt"]
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
