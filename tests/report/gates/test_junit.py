from __future__ import annotations

import xml.etree.ElementTree as ET

from unshaken.report import GateResult
from unshaken.report.gates.junit import junit


def test_one_case_a_gate_and_failures_are_counted() -> None:
    results = [
        GateResult("clean.accuracy >= 0.9", True, 0.95, "clean: 0.95"),
        GateResult("mce <= 0.6", False, 0.7, "mce: 0.7"),
    ]
    root = ET.fromstring(junit(results, name="net"))
    (suite,) = root.findall("testsuite")
    assert suite.attrib == {"name": "net", "tests": "2", "failures": "1", "errors": "0", "skipped": "0"}
    held, failed = suite.findall("testcase")
    assert held.attrib["name"] == "clean.accuracy >= 0.9"
    assert held.find("failure") is None
    assert failed.find("failure").attrib == {"type": "gate", "message": "mce: 0.7"}  # type: ignore[union-attr]


def test_hostile_text_stays_text() -> None:
    text = 'a<b>&"\x00\x1b ]]> \ud800'
    root = ET.fromstring(junit([GateResult(text, False, 0.0, text)], name="<x/>"))
    name = root.find("testsuite/testcase").attrib["name"]  # type: ignore[union-attr]
    assert name == 'a<b>&"\ufffd\ufffd ]]> \ufffd'
    assert root.find("testsuite/x") is None
