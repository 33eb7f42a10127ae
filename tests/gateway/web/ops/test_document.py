"""The operations for operators in the API's document."""

from __future__ import annotations

from tests.gateway.web.parsing import document


def test_a_schema_that_extends_another_keeps_the_descriptions_of_its_fields() -> None:
    schemas = document()["components"]["schemas"]
    for name, base in (("OpsJob", "JobSummary"), ("OpsDelivery", "Delivery"), ("NewClientKey", "ClientKey")):
        for field, schema in schemas[base]["properties"].items():
            assert schemas[name]["properties"][field] == schema
    assert schemas["OpsJob"]["properties"]["status"]["description"]


def test_an_export_has_the_schema_of_its_lines_and_is_bytes_to_generators_of_clients() -> None:
    schemas = document()["components"]["schemas"]
    for path, line in (("/ops/api/audit.jsonl", "AuditEntry"), ("/ops/api/jobs.jsonl", "JobHistoryLine")):
        content = document()["paths"][path]["get"]["responses"]["200"]["content"]
        assert content["application/jsonl"]["schema"] == {"$ref": f"#/components/schemas/{line}"}
        assert content["application/octet-stream"]["schema"] == {"type": "string", "format": "binary"}
        assert line in schemas
