"""The alerts for the Prometheus operator: deploy/prometheus/rules.yaml in its envelope.

`python -m tests.deploy.alerts` writes deploy/kubernetes/overlays/production/alerts.yaml anew.
"""

from __future__ import annotations

import textwrap
from typing import Final

from tests.deploy.kustomize import KUBERNETES

WRITTEN: Final = KUBERNETES / "overlays" / "production" / "alerts.yaml"
_RULES: Final = KUBERNETES.parent / "prometheus" / "rules.yaml"
_HEAD: Final = """\
# Made of deploy/prometheus/rules.yaml: python -m tests.deploy.alerts
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vidu-gateway
spec:
"""


def made() -> str:
    text = _RULES.read_text()
    return _HEAD + textwrap.indent(text[text.index("groups:\n") :], "  ")


if __name__ == "__main__":
    WRITTEN.write_text(made())
