"""A person's browser without a screen: keeps cookies, reads forms, fills them in and submits them. Standard library only."""

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser

TIMEOUT_S = 60


@dataclass
class Form:
    """One form of a page: where it goes and what it would send as it stands."""

    action: str
    method: str = "get"
    fields: list[tuple[str, str]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)  # radio and select values by name
    buttons: list[tuple[str, str]] = field(default_factory=list)  # named submit buttons
    checkboxes: list[tuple[str, str]] = field(default_factory=list)  # not ticked

    def set(self, name: str, value: str) -> None:
        """Give a field one value, replacing what stands there."""
        self.fields = [(n, v) for n, v in self.fields if n != name] + [(name, value)]

    def get(self, name: str) -> str | None:
        return next((v for n, v in self.fields if n == name), None)


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._form: Form | None = None
        self._text_name: str | None = None
        self._text: list[str] = []
        self._select: str | None = None
        self._select_first: str | None = None
        self._select_set = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        if tag == "form":
            self._form = Form(a.get("action", ""), a.get("method", "get").lower())
            self.forms.append(self._form)
        if self._form is None:
            return
        name = a.get("name", "")
        if tag == "input" and name:
            self._input(name, a)
        elif tag == "button" and name and a.get("type", "submit") == "submit":
            self._form.buttons.append((name, a.get("value", "")))
        elif tag == "textarea" and name:
            self._text_name, self._text = name, []
        elif tag == "select" and name:
            self._select, self._select_first, self._select_set = name, None, False
        elif tag == "option" and self._select:
            value = a.get("value", "")
            self._form.choices.setdefault(self._select, []).append(value)
            self._select_first = value if self._select_first is None else self._select_first
            if "selected" in a:
                self._form.set(self._select, value)
                self._select_set = True

    def _input(self, name: str, a: dict[str, str]) -> None:
        assert self._form is not None
        kind = a.get("type", "text")
        if "disabled" in a:
            return
        if kind in ("checkbox", "radio"):
            value = a.get("value", "on")
            if kind == "radio":
                self._form.choices.setdefault(name, []).append(value)
            if "checked" in a:
                self._form.fields.append((name, value))
            elif kind == "checkbox":
                self._form.checkboxes.append((name, value))
        elif kind == "submit":
            self._form.buttons.append((name, a.get("value", "")))
        elif kind not in ("button", "file", "image", "reset"):
            self._form.fields.append((name, a.get("value", "")))

    def handle_data(self, data: str) -> None:
        if self._text_name is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text_name is not None and self._form is not None:
            self._form.fields.append((self._text_name, "".join(self._text).removeprefix("\n")))
            self._text_name = None
        elif tag == "select" and self._select and self._form is not None:
            if not self._select_set and self._select_first is not None:
                self._form.set(self._select, self._select_first)
            self._select = None
        elif tag == "form":
            self._form = None


@dataclass(frozen=True, slots=True)
class Page:
    """What came back."""

    url: str
    status: int
    html: str
    forms: tuple[Form, ...]
    links: tuple[str, ...]

    def form(self, action_part: str) -> Form:
        """The form whose action contains this text. Raise LookupError with what the page has."""
        for form in self.forms:
            if action_part in form.action:
                return form
        raise LookupError(f"{self.url} has no form for {action_part}: {[f.action for f in self.forms]}")


class Browser:
    """One person's session with the web interface."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def get(self, path: str) -> Page:
        return self._open(urllib.request.Request(urllib.parse.urljoin(self.base_url + "/", path)))

    def submit(self, page: Page, form: Form, button: tuple[str, str] | None = None) -> Page:
        """Send a form as a browser would, with the page as its origin."""
        pairs = form.fields + ([button] if button else [])
        request = urllib.request.Request(
            urllib.parse.urljoin(page.url, form.action),
            data=urllib.parse.urlencode(pairs).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": self.base_url,
                "Referer": page.url,
                "Sec-Fetch-Site": "same-origin",
            },
        )
        return self._open(request)

    def log_in(self, username: str, password: str) -> Page:
        page = self.get("/login")
        form = page.form("login")
        form.set("username", username)
        form.set("password", password)
        after = self.submit(page, form)
        if "/login" in after.url:
            raise PermissionError(f"{username} could not log in")
        return after

    def _open(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                status, url, body = response.status, response.url, response.read()
        except urllib.error.HTTPError as e:
            status, url, body = e.code, e.url, e.read()
        html = body.decode("utf-8", "replace")
        reader = _FormReader()
        reader.feed(html)
        return Page(url, status, html, tuple(reader.forms), tuple(reader.links))
