"""Provisioning files read back: what a phone would take from them."""

from xml.etree import ElementTree


def parse_yealink(data: bytes) -> dict[str, str]:
    """The settings of a Yealink file; comments and blank lines left out."""
    pairs = (line.partition("=") for line in data.decode().splitlines() if line.strip() and not line.startswith("#"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def p_values(data: bytes) -> dict[int, str]:
    """The P-values of a Grandstream file by number."""
    root = ElementTree.fromstring(data)
    assert root.tag == "gs_provision"
    return {int(e.tag[1:]): e.text or "" for e in root.find("config")}  # type: ignore[union-attr]
