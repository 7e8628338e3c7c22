"""What the server answers is what its OpenAPI page says, whatever it is asked."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from rest_harness import served
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def rest():
    with served(slots=2) as served_:
        yield served_


@pytest.mark.slow
def test_answers_are_as_the_openapi_page_says(rest):
    schema = schemathesis.openapi.from_url(f"{rest.cluster.rest_url}/openapi.json")
    operations = [each.ok() for each in schema.get_all_operations()]

    assert len(operations) >= 50
    vertex = rest.ask(f"/jobs/{rest.job.id}")[1]["vertices"][0]["id"]
    for operation in operations:
        _check(operation, rest, vertex)
    assert rest.ask("/overview")[0] == 200


def _check(operation, rest, vertex):
    @settings(
        max_examples=5,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def check(case):
        case.validate_response(case.call(base_url=rest.cluster.rest_url), checks=CHECKS)
        if operation.method.upper() == "GET" and "job" in case.path_parameters:
            there = {"job": rest.job.id, "vertex": vertex, "subtask": 0}
            case.path_parameters.update({name: value for name, value in there.items() if name in case.path_parameters})
            case.validate_response(case.call(base_url=rest.cluster.rest_url), checks=CHECKS)

    check()
