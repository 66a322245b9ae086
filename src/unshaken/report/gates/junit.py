"""`junit.xml`: one test case a gate, as continuous integration reads it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from unshaken.report.gates import GateResult

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Sequence[GateResult], *, name: str = "unshaken") -> bytes:
    """The results as JUnit XML.

    Args:
        results: of the gates.
        name: of the suite.

    Returns:
        UTF-8; characters that XML does not allow are replaced.
    """
    failed = sum(not r.held for r in results)
    counts = {"tests": str(len(results)), "failures": str(failed), "errors": "0", "skipped": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": _clean(name), **counts})
    for result in results:
        case = ET.SubElement(suite, "testcase", {"classname": "unshaken.gates", "name": _clean(result.text)})
        if result.held:
            ET.SubElement(case, "system-out").text = _clean(result.detail)
        else:
            ET.SubElement(case, "failure", {"type": "gate", "message": _clean(result.detail)}).text = _clean(
                f"{result.text}\n{result.detail}"
            )
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
