"""A scoring form read from its page, filled in and sent, as a browser without scripts would."""

import html
import re
from collections.abc import Mapping

from fastapi.testclient import TestClient
from httpx import Response


def follow(client: TestClient, answer: Response) -> Response:
    """Follow redirects to the page they lead to."""
    while answer.status_code == 303:
        answer = client.get(answer.headers["location"])
    return answer


class ScoreForm:
    """The form of one evaluation as its page shows it."""

    def __init__(self, client: TestClient, page: Response) -> None:
        assert page.status_code in (200, 409, 422), page.text
        self.client, self.page, self.text = client, page, page.text
        found = re.search(r'<form id="ev-form"[^>]*action="(/evaluate/\d+)"', self.text)
        assert found, self.text
        self.path = found[1]
        self.evaluation_id = int(self.path.rsplit("/", 1)[1])

    @classmethod
    def open(cls, client: TestClient, path: str) -> "ScoreForm":
        """Open a page of the form, through redirects."""
        return cls(client, follow(client, client.get(path)))

    @property
    def version(self) -> str:
        return self.value("version")

    def value(self, name: str) -> str:
        """What a text field shows."""
        field = re.search(rf'<(?:input|textarea)[^>]*name="{re.escape(name)}"[^>]*>([^<]*)', self.text)
        assert field, f"no field {name}"
        value = re.search(r'value="([^"]*)"', field[0])
        return html.unescape(value[1] if value else field[1])

    def ticked(self, name: str, value: str = "1") -> bool:
        """Whether a box or a choice is on."""
        field = re.search(rf'<input[^>]*name="{re.escape(name)}" value="{value}"([^>]*)>', self.text)
        assert field, f"no box {name}"
        return "checked" in field[1]

    @property
    def suggestion_ids(self) -> list[int]:
        return sorted({int(n) for n in re.findall(r'name="s:(\d+)"', self.text)})

    @property
    def not_applicable(self) -> list[str]:
        return list(re.findall(r'name="(na:[^"]+)" value="1" checked', self.text))

    def missing(self, place: str) -> str:
        """What is said to be missing in an item."""
        found = re.search(rf'id="ev-missing-{re.escape(place)}"[^>]*>(.*?)</ul>', self.text, re.DOTALL)
        assert found, place
        return re.sub("<[^>]+>", " ", found[1]).strip()

    def points(self, item_id: str) -> str:
        found = re.search(rf'id="ev-points-{re.escape(item_id)}"[^>]*>([^<]*)<', self.text)
        assert found, item_id
        return found[1]

    def fields(self, changes: Mapping[str, str] | None = None, decision: str = "") -> dict[str, str]:
        """The untouched form's fields, every suggestion decided the same way, then the changes."""
        fields = {"version": self.version, "elapsed_ms": "61000"} | dict.fromkeys(self.not_applicable, "1")
        if decision:
            fields |= {f"s:{n}": decision for n in self.suggestion_ids}
        return fields | dict(changes or {})

    def send(self, changes: Mapping[str, str] | None = None, *, decision: str = "", do: str = "submit") -> Response:
        """Press a button with these changes."""
        return self.client.post(self.path, data=self.fields(changes, decision) | {"do": do})
